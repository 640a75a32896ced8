package resource

import (
	"errors"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Text is the text of an error as a condition can hold it. Joined errors are lines, and a
// condition is read as one; that an error is terminal concerns the queue alone.
func Text(err error) string {
	if errors.Is(err, reconcile.TerminalError(nil)) {
		err = errors.Unwrap(err)
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// maxNote is what the API server takes as the note of an Event, in bytes.
const maxNote = 1024

// Note cuts a message to what an Event can hold.
func Note(message string) string {
	const ellipsis = "..."
	if len(message) <= maxNote {
		return message
	}
	end := maxNote - len(ellipsis)
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + ellipsis
}
