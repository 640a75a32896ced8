package metadata_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
)

// Whatever a section holds is refused with words, or is metadata of a known mode that says
// the same when it is written and read again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"protocolVersion":"v1","mutating":true,"executionMode":"kubewarden-wapc","rules":[{"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"],"operations":["CREATE","*"]}]}`,
		`{"mutating":false,"rules":[],"executionMode":"opa","contextAware":true,"contextAwareResources":[{"apiVersion":"v1","kind":"Pod"}]}`,
		`{"mutating":false,"rules":null,"minimumKubewardenVersion":"1.20.0-rc1+b","hostCapabilities":["oci/*"],"annotations":{"a":"b"},"policyType":"raw","backgroundAudit":false}`,
		`{"mutating":false,"rules":[],"minimumKubewardenVersion":"99999999999999999999.1.0"}`,
		`{"MUTATING":true,"mutating":null,"rules":[],"Rules":[{}]}`, `[]`, `null`, `{"rules":[{"operations":["X"]}],"mutating":0}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		decoded, err := metadata.Decode(payload)
		if err != nil {
			if err.Error() == "" {
				t.Error("got an error without words")
			}
			return
		}
		runnable := decoded.CheckRunnable("1.37.2")
		if runnable != nil && runnable.Error() == "" {
			t.Error("got an error without words")
		}
		encoded, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		again, err := metadata.Decode(encoded)
		if err != nil {
			t.Fatalf("decode %s again: %v", encoded, err)
		}
		if diff := cmp.Diff(decoded, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-want +got after %s:\n%s", encoded, diff)
		}
	})
}
