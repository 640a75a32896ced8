package main

import (
	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/wapc"
)

var _ = wapc.Register(guest.Policy{Validate: validate, ValidateSettings: validateSettings})

func main() {}
