package contract

import (
	"strings"
	"testing"
)

func TestDecodePoliciesInstanceMode(t *testing.T) {
	const ofCluster, ofNamespace = `want one of ["pristine" "warm" "fresh"]`, `want one of ["pristine"]`
	for name, tc := range map[string]struct{ id, mode, want string }{
		"none":                   {"kw.cap.x", `null`, ""},
		"pristine":               {"kw.cap.x", `pristine`, ""},
		"warm":                   {"kw.cap.x", `warm`, ""},
		"fresh":                  {"kw.cap.x", `fresh`, ""},
		"warm without a cluster": {"x", `warm`, ""},
		"unknown":                {"kw.cap.x", `hot`, ofCluster},
		"no text":                {"kw.cap.x", `1`, ofCluster},
		"pristine for a tenant":  {"kw.ap.team.x", `pristine`, ""},
		"warm for a tenant":      {"kw.ap.team.x", `warm`, ofNamespace},
		"fresh for a tenant":     {"kw.ap.team.x", `fresh`, ofNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			text := tc.id + ": {module: m, instanceMode: " + tc.mode + "}\n"
			group := strings.Replace(tc.id, ".ap.", ".apg.", 1)
			text += group + "-group: {policies: {a: {module: m}}, expression: a(), message: m, instanceMode: " + tc.mode + "}\n"
			_, refused, err := DecodePolicies([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{tc.id, group + "-group"} {
				got := refused[id]
				if (got == nil) != (tc.want == "") || got != nil && !strings.Contains(got.Error(), `field "instanceMode": got `) || got != nil && !strings.Contains(got.Error(), tc.want) {
					t.Errorf("%s: got %v, want an error that contains %q", id, got, tc.want)
				}
			}
		})
	}
}
