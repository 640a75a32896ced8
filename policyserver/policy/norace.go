//go:build !race

package policy

// checkAlways has every restored instance checked.
const checkAlways = false
