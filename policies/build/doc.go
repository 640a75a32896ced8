// Package build makes annotated modules out of the policies' folders.
//
// What belongs here: finding the folders, compiling one with the Go toolchain, and writing
// its metadata.yml into the module's metadata section.
//
// What never does: where a module goes then. hack/policies writes and pushes them,
// policies/policiestest keeps them for tests.
package build
