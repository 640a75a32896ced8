package groups

import (
	"fmt"
	"regexp"
	"slices"
)

// identifier is what CEL takes as the name of a function.
var identifier = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

// reserved are words that no function of CEL can be named. The schemas of both kinds of
// groups have the same list.
var reserved = []string{
	"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
	"import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
}

// CheckName says why no expression could call a member of a name; nil when one can.
func CheckName(name string) error {
	if identifier.MatchString(name) && !slices.Contains(reserved, name) {
		return nil
	}
	// The first words are upstream's.
	return fmt.Errorf("policy group member name is invalid: %q must be made of letters, digits and underscores, "+
		"not begin with a digit, and not be a word that CEL reserves", name)
}
