package policy

import (
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
)

func TestUntilReachable(t *testing.T) {
	now := time.Now()
	since := func(ago time.Duration) replicas.Policy { return replicas.Policy{Ready: 1, ReadySince: now.Add(-ago)} }
	for name, tc := range map[string]struct {
		state state
		want  time.Duration
	}{
		"just ready":                       {state{replicas: since(0)}, reachDelay},
		"ready for a second":               {state{replicas: since(time.Second)}, reachDelay - time.Second},
		"ready for long":                   {state{replicas: since(time.Hour)}, 0},
		"ready since nobody knows when":    {state{replicas: replicas.Policy{Ready: 1}}, 0},
		"ready in the future of our clock": {state{replicas: since(-time.Hour)}, reachDelay},
		"none is ready":                    {state{}, 0},
		"its webhook stands": {state{
			replicas: since(0), standing: standing{unwanted: &admissionregistrationv1.MutatingWebhookConfiguration{}},
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.state.untilReachable(now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
