package sandbox

import (
	"bytes"

	"github.com/tetratelabs/wazero/api"
)

// Memory is a guest's linear memory as an imported function sees it. Addresses and
// lengths are the guest's and not to be trusted: their sum is taken in 64 bits.
type Memory struct{ memory api.Memory }

// View is a part of the memory itself: it is valid until the guest runs on.
func (m Memory) View(address, length uint32) ([]byte, error) {
	view, inside := m.memory.Read(address, length)
	if !inside {
		return nil, m.outside(address, uint64(length))
	}
	return view, nil
}

// Text is the part of the memory from an address to the zero byte that ends it, without
// that byte: a string of C, of at most limit bytes. It is valid until the guest runs on.
func (m Memory) Text(address, limit uint32) ([]byte, error) {
	size := m.memory.Size()
	if address >= size {
		return nil, m.outside(address, 1)
	}
	view, err := m.View(address, min(size-address, limit))
	if err != nil {
		return nil, err
	}
	text, _, ends := bytes.Cut(view, []byte{0})
	if !ends {
		return nil, Violationf("text at address %#x does not end within %d bytes", address, len(view))
	}
	return text, nil
}

// Write copies content into the memory.
func (m Memory) Write(address uint32, content []byte) error {
	if !m.memory.Write(address, content) {
		return m.outside(address, uint64(len(content)))
	}
	return nil
}

// WriteString copies content into the memory.
func (m Memory) WriteString(address uint32, content string) error {
	if !m.memory.WriteString(address, content) {
		return m.outside(address, uint64(len(content)))
	}
	return nil
}

// WriteUint32 writes a number.
func (m Memory) WriteUint32(address, value uint32) error {
	if !m.memory.WriteUint32Le(address, value) {
		return m.outside(address, 4)
	}
	return nil
}

// WriteUint64 writes a number.
func (m Memory) WriteUint64(address uint32, value uint64) error {
	if !m.memory.WriteUint64Le(address, value) {
		return m.outside(address, 8)
	}
	return nil
}

func (m Memory) outside(address uint32, length uint64) error {
	return Violationf("%d bytes at address %#x lie outside the memory of %d bytes", length, address, m.memory.Size())
}
