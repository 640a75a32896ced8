package guest

import "github.com/kubewarden/kubewarden-operator/policies/guest/document"

// Response is a policy's verdict.
type Response struct {
	Accepted bool
	Message  string
	// MutatedObject is the whole object as the policy wants it, which is JSON; nil wants no
	// change.
	MutatedObject []byte
}

// Accept lets the request pass.
func Accept() Response { return Response{Accepted: true} }

// Mutate lets the request pass with the object changed.
func Mutate(object []byte) Response { return Response{Accepted: true, MutatedObject: object} }

// Mutate lets the request pass with edits of its object.
func (r Request) Mutate(edits document.Edits) Response {
	var object []byte
	if r.room != nil {
		object = r.room.object
	}
	return Mutate(edits.Append(object, r.Object))
}

// Reject refuses the request; the user sees the message.
func Reject(message string) Response { return Response{Message: message} }

// encode is the response as upstream's protocol has it.
func (r Response) encode(in *room) []byte {
	var answer []byte
	if in != nil {
		answer = in.answer
	}
	if r.Accepted {
		answer = append(answer, `{"accepted":true`...)
	} else {
		answer = append(answer, `{"accepted":false`...)
	}
	if r.Message != "" {
		answer = document.AppendText(append(answer, `,"message":`...), r.Message)
	}
	if r.MutatedObject != nil {
		answer = append(append(answer, `,"mutated_object":`...), r.MutatedObject...)
	}
	return append(answer, '}')
}
