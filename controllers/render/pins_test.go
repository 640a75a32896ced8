package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

var digestA, digestB = "sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("b", 64)

func pinned(module, digest string) contract.Entry {
	return contract.Entry{Module: module, ModuleDigest: digest}
}

func pinnedGroup(members ...string) contract.Entry {
	entry := contract.Entry{Expression: "a()", Policies: map[string]contract.Member{}}
	for i := 0; i < len(members); i += 3 {
		entry.Policies[members[i]] = contract.Member{Module: members[i+1], ModuleDigest: members[i+2]}
	}
	return entry
}

func TestCarryPins(t *testing.T) {
	refreshed := pinned("m:v1", "")
	refreshed.Refresh = "now"
	refreshedGroup := pinnedGroup("a", "m:v1", "")
	refreshedGroup.Refresh = "now"
	again := pinned("m:v1", "")
	again.UID = "another"
	edited := pinned("m:v1", "")
	edited.Message = "edited"
	tests := map[string]struct {
		entry, former contract.Entry
		want          string
	}{
		"same module":                  {pinned("m:v1", ""), pinned("m:v1", digestA), digestA},
		"other settings, same module":  {edited, pinned("m:v1", digestA), digestA},
		"another module":               {pinned("m:v2", ""), pinned("m:v1", digestA), ""},
		"refresh":                      {refreshed, pinned("m:v1", digestA), ""},
		"deleted and made again":       {again, pinned("m:v1", digestA), ""},
		"no former":                    {pinned("m:v1", ""), contract.Entry{}, ""},
		"not pinned before":            {pinned("m:v1", ""), pinned("m:v1", ""), ""},
		"group: same member":           {pinnedGroup("a", "m:v1", ""), pinnedGroup("a", "m:v1", digestA), digestA},
		"group: member exchanged":      {pinnedGroup("a", "m:v2", ""), pinnedGroup("a", "m:v1", digestA), ""},
		"group: member renamed":        {pinnedGroup("a", "m:v1", ""), pinnedGroup("b", "m:v1", digestA), ""},
		"group: refresh":               {refreshedGroup, pinnedGroup("a", "m:v1", digestA), ""},
		"a policy where a group stood": {pinned("m:v1", ""), pinnedGroup("a", "m:v1", digestA), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := render.CarryPins(tc.entry, tc.former)
			if got.ModuleDigest != tc.want && got.Policies["a"].ModuleDigest != tc.want {
				t.Errorf("got %+v, want the digest %q", got, tc.want)
			}
			if tc.entry.Policies["a"].ModuleDigest != "" {
				t.Error("the input was written to")
			}
		})
	}
}

func TestPin(t *testing.T) {
	tests := map[string]struct {
		entry        contract.Entry
		digests      map[string]string
		wantUnpinned bool
		want         contract.Entry
	}{
		"registry": {
			pinned("registry://r.test/m:v1", ""), map[string]string{"": digestA}, true, pinned("registry://r.test/m:v1", digestA),
		},
		"no scheme is a registry": {pinned("r.test/m:v1", ""), map[string]string{"": digestA}, true, pinned("r.test/m:v1", digestA)},
		"a pin stays":             {pinned("r.test/m:v1", digestB), map[string]string{"": digestA}, false, pinned("r.test/m:v1", digestB)},
		"nothing known":           {pinned("r.test/m:v1", ""), nil, true, pinned("r.test/m:v1", "")},
		"a web server has only what is there": {
			pinned("https://w.test/m.wasm", ""), map[string]string{"": digestA}, false, pinned("https://w.test/m.wasm", ""),
		},
		"a file as well": {pinned("file:///m.wasm", ""), map[string]string{"": digestA}, false, pinned("file:///m.wasm", "")},
		"group": {
			pinnedGroup("a", "r.test/m:v1", "", "b", "https://w.test/m", "", "c", "r.test/m:v2", digestB),
			map[string]string{"a": digestA, "b": digestA, "c": digestA},
			true,
			pinnedGroup("a", "r.test/m:v1", digestA, "b", "https://w.test/m", "", "c", "r.test/m:v2", digestB),
		},
		"group of pinned members": {
			pinnedGroup("a", "r.test/m:v1", digestA), nil, false, pinnedGroup("a", "r.test/m:v1", digestA),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := render.Unpinned(tc.entry); got != tc.wantUnpinned {
				t.Errorf("Unpinned = %t, want %t", got, tc.wantUnpinned)
			}
			if diff := cmp.Diff(tc.want, render.Pin(tc.entry, tc.digests)); diff != "" {
				t.Errorf("unexpected entry (-want +got):\n%s", diff)
			}
		})
	}
}
