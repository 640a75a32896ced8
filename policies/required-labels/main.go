package main

import (
	"encoding/json"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/wapc"
)

var _ = wapc.Register(guest.Policy{
	Validate: validate, ValidateSettings: validateSettings,
	Example: guest.Example{Settings: json.RawMessage(`{"mandatory_labels":["a"],"denied_labels":["c"],"constrained_labels":{"a":"^[a-z]+$"}}`)},
})

func main() {}
