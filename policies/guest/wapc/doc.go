// Package wapc makes a policy a waPC guest. Such a policy is a main package built with
// -buildmode=c-shared. Its main function never runs; a package variable registers it:
//
//	var _ = wapc.Register(guest.Policy{Validate: validate, ValidateSettings: validateSettings})
//
//	func main() {}
//
// What belongs here: the glue, which exists only for GOOS=wasip1.
//
// What never does: what a policy decides.
package wapc
