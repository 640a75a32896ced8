package label_test

import (
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest/label"
)

func TestCheckKey(t *testing.T) {
	long := strings.Repeat("a", 63)
	for key, valid := range map[string]bool{
		"team": true, "a.b_c-D": true, "example.com/team": true, long: true, strings.Repeat("a", 253) + "/a": true,
		"": false, "-a": false, "a b": false, "/a": false, "a/": false, "Example.com/a": false, "a/b/c": false, long + "a": false,
		strings.Repeat("a", 254) + "/a": false,
	} {
		err := label.CheckKey("an annotation", key)
		if valid != (err == nil) {
			t.Errorf("%s: got %v", key, err)
		}
		if err != nil && !strings.Contains(err.Error(), "is not the key of an annotation: want a name of at most 63") {
			t.Errorf("%s: got %v", key, err)
		}
	}
}
