//go:build integration

package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// policyCount is how many policies there are. All of them judge Pods.
const policyCount = 20

// policy is a policy with its settings.
type policy struct {
	name, module string
	settings     any
	// everything says that the policy judges all kinds that there are, and not only what
	// makes Pods.
	everything bool
	// file and digest are of the module.
	file, digest string
}

// policies makes them out of five modules, with different settings. About half of the
// verdicts of each module allow.
func policies(t *testing.T) []policy {
	t.Helper()
	folder := t.TempDir()
	modules := map[string]policy{}
	all := make([]policy, 0, policyCount)
	for number := range policyCount {
		p := numbered(number)
		p.name = fmt.Sprintf("%s-%d", p.module, number)
		built, known := modules[p.module]
		if !known {
			module := policiestest.Module(t, p.module)
			sum := sha256.Sum256(module)
			built.file, built.digest = filepath.Join(folder, p.module+".wasm"), "sha256:"+hex.EncodeToString(sum[:])
			if err := os.WriteFile(built.file, module, 0o600); err != nil {
				t.Fatal(err)
			}
			modules[p.module] = built
		}
		p.file, p.digest = built.file, built.digest
		all = append(all, p)
	}
	return all
}

func numbered(number int) policy {
	switch number % 5 {
	case 0:
		return policy{module: "required-labels", settings: map[string]any{"mandatory_labels": []string{fmt.Sprintf("label-%d", number%2)}}, everything: true}
	case 1:
		return policy{module: "container-limits", settings: map[string]any{"cpu": fmt.Sprintf("%dm", 100*(number%4)+150), "memory": "512Mi"}}
	case 2:
		return policy{module: "pod-privileged", settings: map[string]any{"skip_init_containers": number%2 == 1}}
	case 3:
		return policy{module: "drop-capabilities", settings: map[string]any{"allowed_capabilities": capabilities[number%2 : number%2+1]}}
	default:
		return policy{module: "trusted-registries", settings: map[string]any{"registries": []string{fmt.Sprintf("r%d.registry.example", number%2), "registry.example"}}}
	}
}

// id is that by which the policy server knows the policy.
func (p policy) id() string { return contract.ClusterAdmissionPolicyID(p.name) }

func (p policy) entry() (contract.Entry, error) {
	settings, err := json.Marshal(p.settings)
	if err != nil {
		return contract.Entry{}, err
	}
	return contract.Entry{Module: "file://" + p.file, Settings: settings}, nil
}

// judges says whether the policy is asked about objects of a kind.
func (p policy) judges(k kind) bool { return p.everything || k.runsPods }

// rules are those of judges.
func (p policy) rules() []policiesv1.Rule {
	var rules []policiesv1.Rule
	for _, k := range kinds {
		if p.judges(k) {
			rules = append(rules, policiesv1.Rule{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				APIGroups:  []string{k.group}, APIVersions: []string{"v1"}, Resources: []string{k.resource},
			})
		}
	}
	return rules
}

// install makes policies that are active, as the operator's status says it: one replica
// serves one revision of each.
func (c *cluster) install(t *testing.T, all []policy) {
	t.Helper()
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kubewarden"}}); err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		entry, err := p.entry()
		if err != nil {
			t.Fatal(err)
		}
		revision, err := contract.Revision(entry, p.digest)
		if err != nil {
			t.Fatal(err)
		}
		object := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: p.name}}
		object.Spec.Module, object.Spec.Settings.Raw = entry.Module, entry.Settings
		object.Spec.Rules = p.rules()
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		object.Status = policiesv1.PolicyStatus{
			PolicyStatus: policiesv1.PolicyStateActive, ObservedGeneration: object.Generation, ModuleDigest: p.digest,
			Replicas: &policiesv1.PolicyReplicas{Ready: 1, Enforcing: 1},
			Served:   []policiesv1.ServedRevision{{Revision: revision, ModuleDigest: p.digest, Replicas: 1}},
		}
		if err := c.Status().Update(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}
