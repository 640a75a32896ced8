//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// What a schema cannot say is said by the operator's own webhooks, which the API server
// calls with the authority that the operator has written into them.
func TestWhatCannotWorkIsRefusedWhenItIsWritten(t *testing.T) {
	ns := namespace(t)
	group := newGroup(t, ns)
	group.Spec.Expression = "owned() || onduty()"
	long := newPolicy(t, ns, modulePodPrivileged, nil)
	long.GenerateName, long.Name = "", strings.Repeat("long-", 47)+"name"
	everywhere := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Namespace: ns}}
	everywhere.Spec.PolicySpec = newPolicy(t, ns, modulePodPrivileged, nil).Spec.PolicySpec
	everywhere.Spec.Rules[0].APIGroups = []string{"*"}

	for name, tc := range map[string]struct {
		object  client.Object
		refusal string
	}{
		"an expression that calls nobody":             {group, "there is no member onduty()"},
		"a name that makes a policy ID too long":      {long, "identity that is too long"},
		"a policy of a namespace for every API group": {everywhere, "apiGroups"},
	} {
		t.Run(name, func(t *testing.T) {
			// The webhooks let pass what they cannot be asked about, so the first moments after
			// an installation are waited for.
			gomega.NewWithT(t).Eventually(func() error {
				return cluster.Create(t.Context(), tc.object, client.DryRunAll)
			}).WithTimeout(30 * time.Second).Should(gomega.MatchError(gomega.ContainSubstring(tc.refusal)))
		})
	}
}

func TestAPolicyThatProtectsDoesNotGoBackToMonitoring(t *testing.T) {
	g := gomega.NewWithT(t)
	policy := newPolicy(t, namespace(t), modulePodPrivileged, map[string]any{})
	enforce(t, policy)

	policy.Spec.Mode = policiesv1.PolicyModeMonitor
	g.Expect(cluster.Update(t.Context(), policy)).To(gomega.MatchError(gomega.ContainSubstring("field cannot transition from protect to monitor. Recreate instead.")))
}
