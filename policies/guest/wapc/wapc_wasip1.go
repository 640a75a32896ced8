package wapc

import (
	"errors"
	"unsafe"
)

// The waPC host functions; each takes addresses and lengths in this module's memory.

//go:wasmimport wapc __guest_request
func guestRequest(operation, payload unsafe.Pointer)

//go:wasmimport wapc __guest_response
func guestResponse(address unsafe.Pointer, length uint32)

//go:wasmimport wapc __guest_error
func guestError(address unsafe.Pointer, length uint32)

//go:wasmimport wapc __host_call
func hostCall(binding unsafe.Pointer, bindingLength uint32, namespace unsafe.Pointer, namespaceLength uint32,
	operation unsafe.Pointer, operationLength uint32, payload unsafe.Pointer, payloadLength uint32) uint32

//go:wasmimport wapc __host_response_len
func hostResponseLength() uint32

//go:wasmimport wapc __host_response
func hostResponse(address unsafe.Pointer)

//go:wasmimport wapc __host_error_len
func hostErrorLength() uint32

//go:wasmimport wapc __host_error
func hostError(address unsafe.Pointer)

//go:wasmexport __guest_call
func guestCall(operationLength, payloadLength uint32) uint32 {
	length, question := uint64(operationLength)+uint64(payloadLength), room
	if length > uint64(len(room)) {
		question = make([]byte, length)
	}
	operation, payload := question[:operationLength], question[operationLength:length]
	guestRequest(address(operation), address(payload))
	policy := registered
	policy.Host = callHost
	response, err := policy.Answer(string(operation), payload)
	if err != nil {
		text := []byte(err.Error())
		guestError(address(text), uint32(len(text)))
		return 0
	}
	guestResponse(address(response), uint32(len(response)))
	return 1
}

// hostBinding is the name that policy servers know themselves by.
const hostBinding = "kubewarden"

func callHost(namespace, operation string, payload []byte) ([]byte, error) {
	binding, ns, op := []byte(hostBinding), []byte(namespace), []byte(operation)
	succeeded := hostCall(address(binding), uint32(len(binding)), address(ns), uint32(len(ns)),
		address(op), uint32(len(op)), address(payload), uint32(len(payload)))
	if succeeded == 0 {
		text := make([]byte, hostErrorLength())
		hostError(address(text))
		return nil, errors.New(string(text))
	}
	answer := make([]byte, hostResponseLength())
	hostResponse(address(answer))
	return answer, nil
}

func address(bytes []byte) unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(bytes))
}
