package wapc

import "unsafe"

// The waPC host functions; each takes addresses and lengths in this module's memory.

//go:wasmimport wapc __guest_request
func guestRequest(operation, payload unsafe.Pointer)

//go:wasmimport wapc __guest_response
func guestResponse(address unsafe.Pointer, length uint32)

//go:wasmimport wapc __guest_error
func guestError(address unsafe.Pointer, length uint32)

//go:wasmexport __guest_call
func guestCall(operationLength, payloadLength uint32) uint32 {
	operation := make([]byte, operationLength)
	payload := make([]byte, payloadLength)
	guestRequest(address(operation), address(payload))
	response, err := registered.Answer(string(operation), payload)
	if err != nil {
		text := []byte(err.Error())
		guestError(address(text), uint32(len(text)))
		return 0
	}
	guestResponse(address(response), uint32(len(response)))
	return 1
}

func address(bytes []byte) unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(bytes))
}
