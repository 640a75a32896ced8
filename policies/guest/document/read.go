package document

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// errEnds has the words of encoding/json.
var errEnds = errors.New("unexpected end of JSON input")

// Room is memory for what is noted of a document. Whoever makes it before there is one has it
// when there is. It is of one document at a time: values of the one before must not be used any
// more.
type Room struct{ table table }

// NewRoom makes room for that many objects and lists. Documents with more find room, too.
func NewRoom(brackets int) *Room {
	return &Room{table{brackets: make([]bracket, max(brackets, wordBytes))}}
}

// Read looks over a document, which is kept and must not change while values of it are used.
// The error says that a string, an object or a list has no end, or that there is anything but
// one value. That it is JSON besides would take several times as long to say: what is wrong with
// a value is said by whoever reads it.
func (r *Room) Read(content []byte) (Value, error) {
	if len(content) > maxBytes {
		return Value{}, fmt.Errorf("got %d bytes, want at most %d", len(content), maxBytes)
	}
	t := &r.table
	t.content = unsafe.String(unsafe.SliceData(content), len(content)) //nolint:gosec // a copy would cost as much as the look
	if err := t.find(); err != nil {
		return Value{}, err
	}
	at := behindBlanks(t.content, 0)
	if at == len(t.content) {
		return Value{}, errEnds
	}
	end, number, _ := t.value(at, 0)
	if end == at {
		return Value{}, wrong(t.content[at:], aValue)
	}
	if behind := behindBlanks(t.content, end); behind < len(t.content) {
		return Value{}, wrong(t.content[behind:], "the end")
	}
	return Value{t, int32(at), int32(end), int32(number)}.orNone(), nil
}

// Read is that of a Room that is made for the document.
func Read(content []byte) (Value, error) {
	const bytesForEach = 32 // of brackets, in what API servers send
	return NewRoom(len(content) / bytesForEach).Read(content)
}

// MustRead is Read for documents that are known to be whole, as those of tests are; of "" it is
// none. It panics where one is not.
func MustRead(text string) Value {
	if text == "" {
		return Value{}
	}
	value, err := Read([]byte(text))
	if err != nil {
		panic(fmt.Sprintf("read document %s: %v", text, err))
	}
	return value
}

// maxBytes leave room to count behind the end.
const maxBytes = math.MaxInt32 - 2*wordBytes

// table is a document and its brackets, in the order in which they open.
type table struct {
	content  string
	brackets []bracket // and behind those of the document some that are of none
}

// bracket is an object or a list.
type bracket struct {
	open, close int32 // offsets; while it is open, close is the number of the bracket around it
	next        int32 // the number of the first one that opens behind it
}

// none is the number of no bracket.
const none = -1
