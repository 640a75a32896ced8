package wasi

import (
	"context"
	"encoding/binary"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// argumentSizes tells the number of arguments and the bytes of them all with a zero after
// each.
func argumentSizes(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	bytes := 0
	for _, argument := range guest.Call.Args {
		bytes += len(argument) + 1
	}
	if guest.Memory.WriteUint32(uint32(args[0]), uint32(len(guest.Call.Args))) != nil {
		return fault, nil
	}
	return written(guest.Memory.WriteUint32(uint32(args[1]), uint32(bytes)))
}

// arguments writes the arguments, each with a zero after it, and a list of their addresses.
func arguments(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	list, address := []byte{}, uint32(args[1])
	content := []byte{}
	for _, argument := range guest.Call.Args {
		list = binary.LittleEndian.AppendUint32(list, address+uint32(len(content)))
		content = append(append(content, argument...), 0)
	}
	if guest.Memory.Write(uint32(args[0]), list) != nil {
		return fault, nil
	}
	return written(guest.Memory.Write(address, content))
}
