//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// TestWhatIsWrittenIsTheOperatorsAndTheRestIsTheUsers edits the default PolicyServer: what the
// Kubewarden says of it is healed, what it does not mention stays.
func TestWhatIsWrittenIsTheOperatorsAndTheRestIsTheUsers(t *testing.T) {
	c := ownCluster(t, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
		k.Spec.DefaultPolicyServer.Spec.Replicas = new(int32(3))
	})
	server := &policiesv1.PolicyServer{}
	server.Name = policiesv1.DefaultPolicyServer
	is := func(replicas int32, label, class string) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := c.admin.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
				return err
			}
			spec := server.Spec
			if spec.Replicas == nil || *spec.Replicas != replicas || server.Labels["example.com/team"] != label || spec.PriorityClassName != class {
				return fmt.Errorf("replicas %v, label %q, priority class %q; want %d, %q, %q",
					spec.Replicas, server.Labels["example.com/team"], spec.PriorityClassName, replicas, label, class)
			}
			return nil
		}
	}
	within(t, patience, is(3, "", ""))
	edit := client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata":{"labels":{"example.com/team":"blue"}},"spec":{"replicas":5,"priorityClassName":"high"}}`))
	if err := c.admin.Patch(t.Context(), server, edit); err != nil {
		t.Fatal(err)
	}
	within(t, healing, is(3, "blue", "high"))
	// What the Kubewarden begins to say is the operator's from then on.
	change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) {
		k.Spec.DefaultPolicyServer.Spec.PriorityClassName = "higher"
	})
	within(t, patience, is(3, "blue", "higher"))
}
