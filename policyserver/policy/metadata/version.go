package metadata

import (
	"fmt"
	"regexp"
	"strconv"
)

// semver is the grammar of semver.org, version 2.0.0, as far as it matters here.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// majorMinor are the parts of a version that are compared: a patch changes nothing of
// what a policy can rely on.
func majorMinor(version string) (major, minor uint64, err error) {
	parts := semver.FindStringSubmatch(version)
	if parts == nil {
		return 0, 0, fmt.Errorf("got %q, want a version such as 1.37.2", version)
	}
	if major, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("parse major version %q: %w", parts[1], err)
	}
	if minor, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("parse minor version %q: %w", parts[2], err)
	}
	return major, minor, nil
}
