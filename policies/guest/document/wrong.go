package document

import (
	"fmt"
	"slices"
	"strings"
)

// shownBytes is the most of a value that an error shows.
const shownBytes = 40

// Shown is JSON as an error shows it.
func Shown(value string) string {
	switch {
	case value == "":
		return "nothing"
	case len(value) > shownBytes:
		return strings.ToValidUTF8(value[:shownBytes], "") + "..."
	default:
		return value
	}
}

// Wrong says what a value is, and what has to be there in its place.
func (v Value) Wrong(want string) error { return wrong(v.JSON(), want) }

func wrong(got, want string) error { return fmt.Errorf("got %s, want %s", Shown(got), want) }

// placeError says where something is wrong.
type placeError struct {
	place string
	err   error
}

// Error has the place, and what is wrong there.
func (e *placeError) Error() string { return e.place + ": " + e.err.Error() }

// Unwrap is what is wrong.
func (e *placeError) Unwrap() error { return e.err }

// In says of an error where it is: at a path of names of members.
func In(err error, path ...string) error {
	for _, name := range slices.Backward(path) {
		err = in(name, err)
	}
	return err
}

func in(name string, err error) error {
	if inner, is := err.(*placeError); is && strings.HasPrefix(inner.place, "[") { //nolint:errorlint // of what is wrapped the place is inside
		return &placeError{name + inner.place, inner.err}
	}
	return &placeError{name, err}
}

// At says of an error where it is: in an element of a list, from 0.
func At(err error, index int) error { return &placeError{fmt.Sprintf("[%d]", index), err} }
