package main

import (
	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/wapc"
)

var _ = wapc.Register(guest.Policy{
	Validate: validate, ValidateSettings: validateSettings,
	Example: guest.Example{Settings: `{"signatures":[{"image":"a.test/*","pubKeys":["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"],` +
		`"keyless":[{"issuer":"a","subject":"b"}],"keylessPrefix":[{"issuer":"a","urlPrefix":"https://a/"}],"annotations":{"a":"b"}}],"unmatchedImages":"accept"}`},
})

func main() {}
