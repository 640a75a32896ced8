// Command standin is a policy server that keeps to upstream's contract and to nothing else: it
// reads variables and files when it starts, takes no arguments, watches nothing and reports
// nothing. The end-to-end tests run it where upstream's own image would run.
//
// What belongs here: what the operator may rely on with such an image, written by what upstream
// documents. It is as strict as upstream is: a file that it does not understand ends it.
//
// What never does: WebAssembly, and any package of this project, which could share a mistake.
//
//	KUBEWARDEN_POLICIES -> policies.go -> handlers.go: POST /validate/<id>, POST /audit/<id>
package main
