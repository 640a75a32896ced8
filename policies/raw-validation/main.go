package main

import (
	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/wapc"
)

var _ = wapc.Register(guest.Policy{
	Raw: true, Validate: validate, ValidateSettings: validateSettings,
	Example: guest.Example{
		Request:  `{"user":"a","action":"b","resource":"c"}`,
		Settings: `{"validUsers":["a"],"validActions":["b"],"validResources":["c"]}`,
	},
})

func main() {}
