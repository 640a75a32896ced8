//go:build integration

package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// pins complains until policies.yml pins the module of a policy to a digest.
func (c *cluster) pins(t *testing.T, reader *replica, id, want string) func(context.Context) error {
	t.Helper()
	return func(context.Context) error {
		if got := reader.configured(t)[id].ModuleDigest; got != want {
			return fmt.Errorf("policies.yml pins %s to %q, want %q", id, got, want)
		}
		return nil
	}
}

func TestWhatATagStandsForIsPinned(t *testing.T) {
	first, second := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	const id = "kw.cap.pinned"
	shared.createServer(t, "pinned")
	policy := shared.createPolicy(t, "pinned", "pinned")
	within(t, patience, shared.configures(policy))

	// The tag moves while two replicas start.
	elder := shared.startReplica(t, "pinned", "policy-server-pinned-z")
	elder.Tag = first
	time.Sleep(time.Second) // creation times have whole seconds
	younger := shared.startReplica(t, "pinned", "policy-server-pinned-a")
	younger.Tag = second
	for _, replica := range []*replica{younger, elder} {
		replica.setReady(t, corev1.ConditionTrue)
	}
	elder.load(t)
	within(t, patience, shared.pins(t, elder, id, first))
	younger.load(t)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	if policy.Status.ModuleDigest != first {
		t.Errorf("status.moduleDigest is %q, want %q", policy.Status.ModuleDigest, first)
	}
	elder.load(t)

	// A change of settings keeps the pin.
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("b") })
	within(t, patience, shared.configures(policy))
	if err := shared.pins(t, elder, id, first)(t.Context()); err != nil {
		t.Error(err)
	}

	// Asked to, replicas resolve the tag again. The first answer is pinned, and whoever comes
	// later takes that, whatever the tag stands for by then.
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Annotations = map[string]string{policiesv1.AnnotationRefresh: "now"}
	})
	within(t, patience, shared.pins(t, elder, id, ""))
	elder.Tag, younger.Tag = "sha256:"+strings.Repeat("3", 64), second
	younger.load(t)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "Loading"}))
	within(t, patience, shared.pins(t, elder, id, second))
	elder.load(t)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	if policy.Status.ModuleDigest != second {
		t.Errorf("status.moduleDigest is %q, want %q", policy.Status.ModuleDigest, second)
	}
}
