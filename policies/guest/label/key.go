package label

import (
	"fmt"
	"strings"
)

// A label's key is a name of at most 63 characters behind an optional DNS subdomain of at
// most 253 and a slash (Kubernetes: labels and selectors, syntax and character set). Keys of
// annotations are the same. It is checked without regular expressions, which take a policy
// longer than the rest of its settings.
const (
	maxName   = 63
	maxPrefix = 253
)

// CheckKey says what is wrong with the key of a label, or of what is called otherwise.
func CheckKey(called, key string) error {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		prefix, name = "", key
	}
	if prefixed && !isSubdomain(prefix) || !isName(name) {
		return fmt.Errorf("%q is not the key of %s: want a name of at most 63 letters, digits, '-', '_' and '.', "+
			"which may follow a DNS subdomain and '/'", key, called)
	}
	return nil
}

// isSubdomain says whether a text is made of parts with dots between them, each of small
// letters, digits and, within it, hyphens.
func isSubdomain(text string) bool {
	if len(text) > maxPrefix {
		return false
	}
	for part := range strings.SplitSeq(text, ".") {
		if !encloses(part, "-", isSmall) {
			return false
		}
	}
	return true
}

func isName(text string) bool {
	return len(text) <= maxName && encloses(text, "-_.", func(c byte) bool { return isSmall(c) || 'A' <= c && c <= 'Z' })
}

func isSmall(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// encloses says whether a text is made of such characters, with inner ones between the first
// and the last.
func encloses(text, inner string, is func(byte) bool) bool {
	for i := range len(text) {
		between := 0 < i && i < len(text)-1
		if !is(text[i]) && !(between && strings.IndexByte(inner, text[i]) >= 0) {
			return false
		}
	}
	return text != ""
}
