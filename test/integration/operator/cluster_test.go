//go:build integration

package operator

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

const (
	namespace = simulator.Namespace

	// patience is how long the operator may take for what has no bound of its own.
	patience = 30 * time.Second
	// healing is how soon drift must be gone.
	healing = 5 * time.Second
)

// cluster is a cluster without nodes, in which each test says what runs.
type cluster struct {
	*simulator.Cluster
	admin client.Client
}

func newCluster(flags ...simulator.Flag) (*cluster, error) {
	made, err := simulator.NewCluster("../../..", flags...)
	if err != nil {
		return nil, err
	}
	return &cluster{Cluster: made, admin: made.Admin}, nil
}

// ownCluster is a cluster for one test.
func ownCluster(t *testing.T, steps ...func(*cluster) error) *cluster {
	t.Helper()
	return ownClusterWith(t, nil, steps...)
}

func ownClusterWith(t *testing.T, flags []simulator.Flag, steps ...func(*cluster) error) *cluster {
	t.Helper()
	c, err := newCluster(flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range steps {
		if err := step(c); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// within waits until a check finds nothing to complain about, and fails the test with the
// last complaint when that takes too long.
func within(t *testing.T, limit time.Duration, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 25*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		complaint := check(ctx)
		if last == nil || ctx.Err() == nil {
			last = complaint // that the time is over is no complaint
		}
		return complaint == nil, nil
	})
	if err != nil {
		t.Fatalf("not within %s: %v", limit, last)
	}
}

// throughout checks, for a while, that a check never has anything to complain about.
func throughout(t *testing.T, duration time.Duration, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, 25*time.Millisecond, true, func(context.Context) (bool, error) {
		return false, check(t.Context())
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
