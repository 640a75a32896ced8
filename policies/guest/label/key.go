package label

import (
	"fmt"
	"regexp"
	"strings"
)

// A label's key is a name of at most 63 characters behind an optional DNS subdomain of at
// most 253 and a slash (Kubernetes: labels and selectors, syntax and character set). Keys of
// annotations are the same.
var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	prefixPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// CheckKey says what is wrong with the key of a label, or of what is called otherwise.
func CheckKey(called, key string) error {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		prefix, name = "", key
	}
	if prefixed && (len(prefix) > 253 || !prefixPattern.MatchString(prefix)) || !namePattern.MatchString(name) {
		return fmt.Errorf("%q is not the key of %s: want a name of at most 63 letters, digits, '-', '_' and '.', "+
			"which may follow a DNS subdomain and '/'", key, called)
	}
	return nil
}
