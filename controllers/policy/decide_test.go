package policy

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
)

func TestDecide(t *testing.T) {
	none := replicas.Policy{}
	unserved := replicas.Policy{Ready: 2}
	served := replicas.Policy{Ready: 2, Serving: 2}
	partly := replicas.Policy{Ready: 2, Serving: 2, Enforcing: 1}
	enforced := replicas.Policy{Ready: 2, Serving: 2, Enforcing: 2}
	lingering := replicas.Policy{Ready: 2, Serving: 2, Enforcing: 2, Silent: 2, Lingering: 1}
	tests := map[string]struct {
		situation situation
		want      action
	}{
		"without an installation nothing is touched": {
			situation{idle: true, trusted: true, standing: true, replicas: enforced}, actionLeave,
		},
		"without an installation a server can still be deleted": {
			situation{idle: true, withdraw: true, trusted: true, standing: true, replicas: enforced}, actionWithdraw,
		},
		"withdrawn whatever the replicas say": {
			situation{withdraw: true, trusted: true, standing: true, recorded: true, sameEntry: true, replicas: enforced}, actionWithdraw,
		},
		"withdrawn without a CA bundle too": {
			situation{withdraw: true, standing: true}, actionWithdraw,
		},
		"not created without a CA bundle": {
			situation{replicas: enforced}, actionLeave,
		},
		"a lost CA bundle leaves a standing webhook alone": {
			situation{standing: true, recorded: true, sameEntry: true, replicas: enforced}, actionLeave,
		},
		"first creation waits for a replica": {
			situation{trusted: true, replicas: none}, actionWait,
		},
		"first creation waits until the policy is served": {
			situation{trusted: true, replicas: unserved}, actionWait,
		},
		"first creation waits for the last ready replica": {
			situation{trusted: true, replicas: replicas.Policy{Ready: 2, Serving: 1, Enforcing: 1}}, actionWait,
		},
		"first creation takes any revision": {
			situation{trusted: true, replicas: served}, actionWrite,
		},
		"first creation on every ready replica": {
			situation{trusted: true, replicas: enforced}, actionWrite,
		},
		"first creation waits until a replica can be reached": {
			situation{trusted: true, unreachable: true, replicas: enforced}, actionWait,
		},
		"first creation waits for a replica that stops and does not serve it": {
			situation{trusted: true, replicas: lingering}, actionWait,
		},
		"a changed entry waits for a replica that stops and answers as before": {
			situation{trusted: true, standing: true, recorded: true, replicas: lingering}, actionKeep,
		},
		"an unchanged entry waits for none that stops": {
			situation{trusted: true, standing: true, recorded: true, sameEntry: true, replicas: lingering}, actionWrite,
		},
		"a standing webhook does not wait for that": {
			situation{trusted: true, standing: true, recorded: true, sameEntry: true, unreachable: true, replicas: enforced}, actionWrite,
		},
		"never withdrawn when no replica is ready": {
			situation{trusted: true, standing: true, recorded: true, sameEntry: true, replicas: none}, actionWrite,
		},
		"an unchanged entry is written at once, served or not": {
			situation{trusted: true, standing: true, recorded: true, sameEntry: true, replicas: unserved}, actionWrite,
		},
		"a changed entry waits while no replica serves it": {
			situation{trusted: true, standing: true, recorded: true, replicas: served}, actionKeep,
		},
		"a changed entry waits for the last ready replica": {
			situation{trusted: true, standing: true, recorded: true, replicas: partly}, actionKeep,
		},
		"a changed entry that every ready replica serves is written": {
			situation{trusted: true, standing: true, recorded: true, replicas: enforced}, actionWrite,
		},
		"a changed entry does not wait for replicas that are not there": {
			situation{trusted: true, standing: true, recorded: true, replicas: none}, actionWrite,
		},
		"what it was rendered from is not known: written, so that it is guarded against drift": {
			situation{trusted: true, standing: true, replicas: partly}, actionWrite,
		},
		"an invalid spec never becomes a webhook": {
			situation{trusted: true, invalid: true, replicas: enforced}, actionLeave,
		},
		"an invalid spec keeps what stands": {
			situation{trusted: true, invalid: true, standing: true, recorded: true, sameEntry: true, replicas: enforced}, actionKeep,
		},
		"an invalid spec leaves what stands when its origin is not known": {
			situation{trusted: true, invalid: true, standing: true, replicas: enforced}, actionLeave,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := decide(tc.situation); got != tc.want {
				t.Errorf("decide() = %d, want %d", got, tc.want)
			}
		})
	}
}
