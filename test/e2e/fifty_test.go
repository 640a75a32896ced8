//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const (
	fiftyServer = "e2e-fifty"
	fifty       = 50
	fiftyEdits  = 10
)

// TestAChangeAmongFiftyPoliciesIsReportedPromptly edits policies of a server that has fifty,
// and takes the time from each write to the status in which both replicas enforce it.
func TestAChangeAmongFiftyPoliciesIsReportedPromptly(t *testing.T) {
	ns := namespace(t)
	server := newServer(t, fiftyServer)
	create(t, server)
	policies := make([]*policiesv1.ClusterAdmissionPolicy, 0, fifty)
	for i := range fifty {
		policy := newPolicy(t, ns, moduleRequiredLabels, mandatory("team", i))
		policy.Spec.PolicyServer = fiftyServer
		create(t, policy)
		policies = append(policies, policy)
	}
	for _, policy := range policies {
		eventuallyReady(t, policy, 2*time.Minute)
	}
	eventuallyReplaced(t, fiftyServer, nil, 2)

	took := make([]time.Duration, 0, fiftyEdits)
	for i := range fiftyEdits {
		policy := policies[i*fifty/fiftyEdits]
		written := time.Now()
		change(t, policy, func() { policy.Spec.Settings = rawSettings(t, mandatory("cost-center", i)) })
		took = append(took, untilEnforcedByBoth(t, policy).Sub(written))
	}
	slices.Sort(took)
	t.Logf("%d edits among %d policies: reported by both replicas after %s in the middle, %s at the latest",
		fiftyEdits, fifty, took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	if slowest := took[len(took)-1]; slowest >= promptly {
		t.Errorf("an edit was reported after %s, want less than %s", slowest, promptly)
	}
}

// mandatory are settings of required-labels that no two policies share.
func mandatory(label string, number int) map[string]any {
	return map[string]any{"mandatory_labels": []string{label, fmt.Sprintf("number-%d", number)}}
}

// untilEnforcedByBoth is when the status said that two of two replicas enforce the policy as
// it was last written.
func untilEnforcedByBoth(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy) time.Time {
	t.Helper()
	generation := policy.Generation
	var seen time.Time
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(policy), policy)).To(gomega.Succeed())
		seen = time.Now()
		ready := apimeta.FindStatusCondition(policy.Status.Conditions, policiesv1.ConditionReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.ObservedGeneration).To(gomega.Equal(generation))
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionTrue), ready.Message)
		g.Expect(ready.Message).To(gomega.HavePrefix("2 of 2 replicas enforce"))
	}).WithTimeout(30 * time.Second).WithPolling(20 * time.Millisecond).Should(gomega.Succeed())
	return seen
}
