package guest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// Setting is one that a policy knows.
type Setting struct {
	Name string
	// Into is where its value goes: a *bool, *string, *[]string or *map[string]string; or a
	// func(document.Value) error, for what is none of these.
	Into any
}

// DecodeSettings decodes settings and refuses those that are not known. The error names the
// setting and what is allowed in its place. What is not set, or null, stays as it is.
func DecodeSettings(settings document.Value, known ...Setting) error {
	if !settings.Exists() {
		return nil
	}
	if !settings.IsObject() {
		return settings.Wrong("an object that may have " + names(known))
	}
	entries, err := settings.Entries()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if find(known, entry.Name) < 0 {
			return fmt.Errorf("unknown setting %q, allowed are: %s", entry.Name, names(known))
		}
	}
	decoded := make([]bool, len(known))
	for _, entry := range entries {
		at := find(known, entry.Name)
		if decoded[at] {
			continue
		}
		decoded[at] = true
		if err := known[at].decode(entry.Value); err != nil {
			return document.In(err, fmt.Sprintf("setting %q", entry.Name))
		}
	}
	return nil
}

func find(known []Setting, name string) int {
	for i := range known {
		if known[i].Name == name {
			return i
		}
	}
	return -1
}

func names(known []Setting) string {
	all := make([]string, len(known))
	for i := range known {
		all[i] = known[i].Name
	}
	return strings.Join(all, ", ")
}

func (s Setting) decode(value document.Value) (err error) {
	if !value.Exists() {
		return nil
	}
	switch into := s.Into.(type) {
	case *bool:
		*into, err = value.Bool()
	case *string:
		*into, err = value.Text()
	case *[]string:
		*into, err = value.Texts()
	case *map[string]string:
		*into, err = value.TextMap()
	case func(document.Value) error:
		err = into(value)
	default:
		err = errors.New("the policy has no place for it")
	}
	return err
}
