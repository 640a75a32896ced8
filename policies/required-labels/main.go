package main

import "github.com/kubewarden/kubewarden-operator/policies/guest"

var _ = guest.Register(guest.Policy{Validate: validate, ValidateSettings: validateSettings})

func main() {}
