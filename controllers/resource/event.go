package resource

import "unicode/utf8"

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
