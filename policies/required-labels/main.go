package main

import (
	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/wapc"
)

var _ = wapc.Register(guest.Policy{
	Validate: validate, ValidateSettings: validateSettings,
	Example: guest.Example{Settings: `{"mandatory_labels":["a"],"denied_labels":["c"],"constrained_labels":{"a":"^[a-z]+$"}}`},
})

func main() {}
