package configured

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestChanged(t *testing.T) {
	type policies = contract.Policies
	type refused = map[string]render.RefusedEntry
	one, two := contract.Entry{Module: "one"}, contract.Entry{Module: "two"}
	pinned := contract.Entry{Module: "one", ModuleDigest: "sha256:1"}
	for name, tc := range map[string]struct {
		before, after Configuration
		want          []string
	}{
		"nothing":            {Configuration{Policies: policies{"a": one}}, Configuration{Policies: policies{"a": {Module: "one"}}}, nil},
		"another entry":      {Configuration{Policies: policies{"a": one, "b": one}}, Configuration{Policies: policies{"a": one, "b": two}}, []string{"b"}},
		"a pin":              {Configuration{Policies: policies{"a": one}}, Configuration{Policies: policies{"a": pinned}}, []string{"a"}},
		"one more, one less": {Configuration{Policies: policies{"b": one}}, Configuration{Policies: policies{"a": one}}, []string{"a", "b"}},
		"a refusal":          {Configuration{}, Configuration{Refused: refused{"a": {Entry: "x"}}}, []string{"a"}},
		"of another entry":   {Configuration{Refused: refused{"a": {Entry: "x"}}}, Configuration{Refused: refused{"a": {Entry: "y"}}}, []string{"a"}},
		"nothing readable":   {Configuration{Policies: policies{"a": one}}, Configuration{}, []string{"a"}},
		"what to fall back on": {
			Configuration{}, Configuration{LastGood: map[string]contract.LastGood{"a": {}}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Changed(tc.before, tc.after)); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
		})
	}
}
