// Package api is the room of the API groups; it holds nothing itself.
//
// What belongs below it: one folder per group and version, with types, conditions and
// reasons, and in this folder the tests that hold for all of their CRDs.
//
// What never does: an import of anything else in this module. The packages below import
// k8s.io/api and k8s.io/apimachinery only, so that other programs can use the types
// without taking the operator along.
//
// Where the data goes next: the markers of the types become config/crd/bases by `make
// manifests`; controllers read and write the types.
package api
