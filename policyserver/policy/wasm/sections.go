package wasm

import (
	"bytes"
	"fmt"
)

// Section IDs of the binary format.
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
	sectionTag       = 13
)

// sectionOrder is the order that the format demands; custom sections stand anywhere.
var sectionOrder = [...]byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionTag,
	sectionGlobal, sectionExport, sectionStart, sectionElement, sectionDataCount,
	sectionCode, sectionData,
}

var header = []byte{0x00, 'a', 's', 'm', 0x01, 0x00, 0x00, 0x00}

// Module is a WebAssembly binary split into its sections. It shares the bytes it was
// parsed from.
type Module struct {
	known  map[byte]*reader
	custom []customSection
}

type customSection struct {
	name    string
	payload []byte
	base    int
}

// Parse splits a module into its sections. It looks into none but the names of the
// custom ones. The error is a *FormatError.
func Parse(binary []byte) (*Module, error) {
	if !bytes.HasPrefix(binary, header[:4]) {
		return nil, &FormatError{Reason: "not a WebAssembly module: it does not begin with \\0asm"}
	}
	if !bytes.HasPrefix(binary, header) {
		return nil, &FormatError{Offset: 4, Reason: "not WebAssembly version 1: components are not supported"}
	}
	module := &Module{known: map[byte]*reader{}}
	r := &reader{data: binary, pos: len(header)}
	last := -1
	for r.more() {
		start := r.pos
		id := r.byte()
		body := r.sub(r.u32())
		if r.err != nil {
			break
		}
		if id == sectionCustom {
			module.addCustom(body)
			r.err = body.err
			continue
		}
		place := bytes.IndexByte(sectionOrder[:], id)
		switch {
		case place < 0:
			r.failAt(start, "unknown section %d", id)
		case place <= last:
			r.failAt(start, "section %d stands out of order or twice", id)
		}
		last = place
		module.known[id] = body
	}
	if r.err != nil {
		return nil, r.err
	}
	return module, nil
}

func (m *Module) addCustom(body *reader) {
	name := body.name("name of a custom section")
	if body.err != nil {
		return
	}
	m.custom = append(m.custom, customSection{
		name:    string(name),
		payload: body.data[body.pos:],
		base:    body.base + body.pos,
	})
}

// CustomSection is the payload of the first custom section with that name.
func (m *Module) CustomSection(name string) ([]byte, bool) {
	for _, section := range m.custom {
		if section.name == name {
			return section.payload, true
		}
	}
	return nil, false
}

// SetCustomSection returns the module with that payload as its one custom section of that
// name, which becomes the last section. The error is a *FormatError.
func SetCustomSection(binary []byte, name string, payload []byte) ([]byte, error) {
	if _, err := Parse(binary); err != nil {
		return nil, fmt.Errorf("parse module: %w", err)
	}
	out := append(make([]byte, 0, len(binary)+len(payload)+64), header...)
	r := &reader{data: binary, pos: len(header)}
	for r.more() {
		start := r.pos
		id := r.byte()
		body := r.sub(r.u32())
		if id == sectionCustom && string(body.name("name")) == name {
			continue
		}
		out = append(out, binary[start:r.pos]...)
	}
	return appendSection(out, sectionCustom, append(appendName(nil, []byte(name)), payload...)), nil
}
