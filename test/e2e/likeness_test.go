//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/test/likeness"
)

// What the cluster shows is what the imitation of one shows in test/integration/simulator.
func TestAClusterShowsWhatItsImitationShows(t *testing.T) {
	server := newServer(t, "likeness")
	t.Cleanup(func() { remove(context.WithoutCancel(t.Context()), t, server) })
	seen, err := likeness.Stage{Client: cluster, Namespace: operatorNamespace, Server: server, Patience: 2 * time.Minute, Log: t.Logf}.Play(t.Context())
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(likeness.Life, seen); diff != "" {
		t.Errorf("what is seen of a life (-want +got):\n%s", diff)
	}
}
