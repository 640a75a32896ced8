//go:build integration

package operator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// call is what the operator asked of the API server, as the audit log of that has it.
type call struct {
	verb, group, resource string // resource/subresource
	namespace, name       string
	code                  int32
}

func (c call) String() string {
	return fmt.Sprintf("%s %s.%s %s/%s: %d", c.verb, c.resource, c.group, c.namespace, c.name, c.code)
}

// auditPolicy has every call logged, with what was called and what became of it.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

// auditedCluster is a cluster whose API server writes an audit log to a file. As in OpenShift,
// it also asks whether owner references may block the deletion of the owner.
func auditedCluster(t *testing.T) (c *cluster, log string) {
	t.Helper()
	folder := t.TempDir()
	policy, log := filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "audit.log")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	return ownClusterWith(t, []simulator.Flag{
		{Name: "audit-policy-file", Value: policy},
		{Name: "audit-log-path", Value: log},
		{Name: "enable-admission-plugins", Value: "OwnerReferencesPermissionEnforcement"},
	}), log
}

// operatorsCalls reads the operator's calls out of an audit log.
func operatorsCalls(t *testing.T, log string) map[call]bool {
	t.Helper()
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1] // the API server goes on writing
	calls := map[call]bool{}
	for line := range bytes.Lines(content) {
		var event auditv1.Event
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("decode %q: %v", line, err)
		}
		if event.ImpersonatedUser == nil || event.ObjectRef == nil || event.ResponseStatus == nil ||
			event.ImpersonatedUser.Username != "system:serviceaccount:"+namespace+":"+simulator.ServiceAccount {
			continue
		}
		for _, verb := range verbs(event) {
			made := newCall(event)
			made.verb = verb
			calls[made] = true
		}
	}
	return calls
}

// verbs are those that a call needs the right to.
func verbs(event auditv1.Event) []string {
	switch {
	case event.Verb == "patch" && event.ResponseStatus.Code == http.StatusCreated:
		return []string{"patch", "create"} // the API server asks about both
	case event.Verb == "watch" && strings.Contains(event.RequestURI, "sendInitialEvents=true"):
		// Older API servers cannot begin a watch with all that is there, and are asked for a
		// list of it first.
		return []string{"watch", "list"}
	default:
		return []string{event.Verb}
	}
}

func newCall(event auditv1.Event) call {
	object := event.ObjectRef
	made := call{
		group: object.APIGroup, resource: object.Resource,
		namespace: object.Namespace, name: object.Name, code: event.ResponseStatus.Code,
	}
	if object.Subresource != "" {
		made.resource += "/" + object.Subresource
	}
	return made
}
