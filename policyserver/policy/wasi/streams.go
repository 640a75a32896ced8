package wasi

import (
	"context"
	"encoding/binary"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// maxBuffers bounds the list of buffers of one read or write; it is what Linux allows.
const maxBuffers = 1024

// buffers calls visit with each buffer of a list until it returns false.
func buffers(memory sandbox.Memory, list, n uint32, visit func([]byte) bool) errno {
	if n > maxBuffers {
		return invalid
	}
	entries, err := memory.View(list, n*8)
	if err != nil {
		return fault
	}
	for ; len(entries) > 0; entries = entries[8:] {
		buffer, err := memory.View(binary.LittleEndian.Uint32(entries), binary.LittleEndian.Uint32(entries[4:]))
		if err != nil {
			return fault
		}
		if !visit(buffer) {
			break
		}
	}
	return success
}

// read takes from what is left of the call's standard input; at its end there is nothing.
func read(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	if uint32(args[0]) != stdin {
		return badFD, nil
	}
	total := uint32(0)
	code := buffers(guest.Memory, uint32(args[1]), uint32(args[2]), func(buffer []byte) bool {
		n := copy(buffer, guest.Call.Stdin)
		guest.Call.Stdin = guest.Call.Stdin[n:]
		total += uint32(n)
		return n == len(buffer)
	})
	if code != success {
		return code, nil
	}
	return written(guest.Memory.WriteUint32(uint32(args[3]), total))
}

func write(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	var stream *sandbox.Stream
	switch uint32(args[0]) {
	case stdout:
		stream = &guest.Call.Stdout
	case stderr:
		stream = &guest.Call.Stderr
	default:
		return badFD, nil
	}
	total := uint32(0)
	code := buffers(guest.Memory, uint32(args[1]), uint32(args[2]), func(buffer []byte) bool {
		stream.Write(buffer)
		total += uint32(len(buffer))
		return true
	})
	if code != success {
		return code, nil
	}
	return written(guest.Memory.WriteUint32(uint32(args[3]), total))
}
