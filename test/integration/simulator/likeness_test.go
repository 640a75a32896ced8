//go:build integration

package simulator

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/test/likeness"
)

// What the imitation shows is what the cluster with nodes shows in test/e2e.
func TestTheImitationShowsWhatAClusterShows(t *testing.T) {
	c, _ := start(t)
	server := &policiesv1.PolicyServer{}
	server.Name = "likeness"
	seen, err := likeness.Stage{Client: c.Admin, Namespace: Namespace, Server: server, Patience: time.Minute, Log: t.Logf}.Play(t.Context())
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(likeness.Life, seen); diff != "" {
		t.Errorf("what is seen of a life (-want +got):\n%s", diff)
	}
}
