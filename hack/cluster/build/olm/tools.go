//go:build tools

// Package olm pins the versions of the Operator Lifecycle Manager and of opm, which serves
// its catalogs. Nothing is compiled here but the commands named below, straight from the
// published modules.
package olm

import (
	_ "github.com/operator-framework/operator-lifecycle-manager/cmd/catalog"
	_ "github.com/operator-framework/operator-lifecycle-manager/cmd/olm"
	_ "github.com/operator-framework/operator-registry/cmd/opm"
)
