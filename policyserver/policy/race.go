//go:build race

package policy

// checkAlways has every restored instance checked: tests with the race detector are slow
// anyway.
const checkAlways = true
