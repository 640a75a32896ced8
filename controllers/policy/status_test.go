package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	oldRevision = "0ldrevision0"
	newRevision = "newrevision0"
)

func revision(name string, wanted bool, count int32) replicas.Revision {
	return replicas.Revision{
		Served: contract.Served{Revision: name, ModuleDigest: "d1gest"}, Wanted: wanted, Replicas: count,
	}
}

func refusal(reason contract.Reason, message string, names ...string) replicas.Refusal {
	return replicas.Refusal{Reason: reason, Message: message, Replicas: names}
}

// enforced is the state in which all is well; each case takes something away from it.
func enforced(changes ...func(*state)) *state {
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "labels", Generation: 3}}
	s := &state{
		policy:     policy,
		kubewarden: &operatorv1alpha1.Kubewarden{},
		server:     &policiesv1.PolicyServer{},
		caBundle:   []byte("PEM"),
		replicas: replicas.Policy{
			Total: 2, Ready: 2, Serving: 2, Enforcing: 2,
			Served: []replicas.Revision{revision(newRevision, true, 2)},
		},
		action: actionWrite, stands: true, current: true,
	}
	for _, change := range changes {
		change(s)
	}
	return s
}

func answer(policy replicas.Policy) func(*state) {
	return func(s *state) { s.replicas = policy }
}

func done(action action, stands bool) func(*state) {
	return func(s *state) { s.action, s.stands, s.current = action, stands, action == actionWrite }
}

// conditionWords are the parts of a condition that a table spells out.
type conditionWords struct {
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

func TestReady(t *testing.T) {
	now := metav1.Now()
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "ValidatingWebhookConfiguration"}, "kw.cap.labels",
		field.ErrorList{field.Invalid(field.NewPath("webhooks"), "x", "no CEL")})
	tests := map[string]struct {
		state *state
		cause error
		want  conditionWords
	}{
		"enforced": {
			state: enforced(),
			want:  conditionWords{"True", "Enforced", "2 of 2 replicas enforce revision newrevision0"},
		},
		"enforced, while a new replica cannot load it": {
			state: enforced(func(s *state) {
				s.replicas.Total = 3
				s.replicas.Refusals = []replicas.Refusal{refusal(contract.ReasonFetchFailed, "timeout", "pod-c")}
			}),
			want: conditionWords{"True", "Enforced", "2 of 2 replicas enforce revision newrevision0; " +
				"a replica that is not ready says FetchFailed: timeout (pod-c)"},
		},
		"a server that does not report has rolled it out": {
			state: enforced(func(s *state) { s.replicas.Silent = 2 }),
			want:  conditionWords{"True", "ReportedByRollout", "2 of 2 replicas were started with revision newrevision0"},
		},
		"an old Pod of a server that does not report still answers": {
			state: enforced(func(s *state) { s.replicas.Silent, s.replicas.Lingering = 2, 1 }),
			want: conditionWords{
				"False", "Loading",
				"2 of 2 replicas were started with revision newrevision0; 1 that are to stop still answer as before; " +
					"PolicyServer default tells how its roll-out goes",
			},
		},
		"a server that does not report is rolling it out": {
			state: enforced(answer(replicas.Policy{Total: 3, Ready: 2, Serving: 2, Silent: 2}), done(actionKeep, true)),
			want: conditionWords{
				"False", "Loading",
				"0 of 2 replicas were started with the policy as its spec says; PolicyServer default tells how its roll-out goes",
			},
		},
		"no installation": {
			state: enforced(func(s *state) { s.kubewarden = nil }),
			want: conditionWords{
				"False", "NoInstallation",
				"there is no Kubewarden object: the operator does nothing until one is created",
			},
		},
		"uninstalling": {
			state: enforced(func(s *state) { s.kubewarden.DeletionTimestamp = &now }, done(actionWithdraw, false)),
			want:  conditionWords{"False", "NoInstallation", "the Kubewarden object is being deleted, so no policy is enforced"},
		},
		"suspended": {
			state: enforced(func(s *state) {
				s.kubewarden.Spec.Enforcement = operatorv1alpha1.EnforcementSuspended
			}, done(actionWithdraw, false)),
			want: conditionWords{
				"False", "Suspended",
				"the Kubewarden object says enforcement: Suspended, so no policy is enforced",
			},
		},
		"no such PolicyServer": {
			state: enforced(func(s *state) { s.server = nil }, done(actionWithdraw, false)),
			want:  conditionWords{"False", "PolicyServerNotFound", "there is no PolicyServer named default"},
		},
		"its PolicyServer is being deleted": {
			state: enforced(func(s *state) { s.server.DeletionTimestamp = &now }, done(actionWithdraw, false)),
			want:  conditionWords{"False", "PolicyServerDeleting", "PolicyServer default is being deleted"},
		},
		"its PolicyServer is scaled to zero": {
			state: enforced(func(s *state) { s.server.Spec.Replicas = new(int32) }, done(actionWithdraw, false)),
			want: conditionWords{
				"False", "PolicyServerScaledToZero",
				"PolicyServer default wants no replicas, so the policy is not enforced",
			},
		},
		"the spec breaks a rule": {
			state: enforced(func(s *state) {
				s.invalid = field.ErrorList{field.Required(field.NewPath("spec", "rules"), "a value must be specified")}
			}, done(actionLeave, false)),
			want: conditionWords{"False", "InvalidSpec", "spec.rules: Required value: a value must be specified"},
		},
		"the API server refuses the webhook": {
			state: enforced(done(actionWrite, false)),
			cause: fmt.Errorf("apply x: %w", invalid),
			want: conditionWords{"False", "InvalidSpec", "the API server refuses the webhook that the policy asks for: " +
				`ValidatingWebhookConfiguration "kw.cap.labels" is invalid: webhooks: Invalid value: "x": no CEL`},
		},
		"the webhook cannot be written": {
			state: enforced(done(actionWrite, false)),
			cause: errors.New("apply x: timeout"),
			want:  conditionWords{"False", "WebhookFailed", "apply x: timeout"},
		},
		"the world cannot be read": {
			state: enforced(done(0, false)),
			cause: errors.New("list Pods: timeout"),
			want:  conditionWords{"False", "ReconciliationFailed", "list Pods: timeout"},
		},
		"no replica yet": {
			state: enforced(answer(replicas.Policy{}), done(actionWait, false)),
			want:  conditionWords{"False", "PolicyServerNotReady", "PolicyServer default has no ready replica yet"},
		},
		"all replicas lost": {
			state: enforced(answer(replicas.Policy{Total: 2})),
			want: conditionWords{
				"False", "PolicyServerNotReady",
				"PolicyServer default has no ready replica, and failurePolicy decides",
			},
		},
		"loading for the first time": {
			state: enforced(answer(replicas.Policy{Total: 2, Ready: 2}), done(actionWait, false)),
			want:  conditionWords{"False", "Loading", "0 of 2 replicas enforce the policy as its spec says"},
		},
		"one replica is ahead": {
			state: enforced(answer(replicas.Policy{
				Total: 2, Ready: 2, Serving: 2, Enforcing: 1,
				Served: []replicas.Revision{revision(newRevision, true, 1), revision(oldRevision, false, 1)},
			}), done(actionKeep, true)),
			want: conditionWords{"False", "Loading", "1 of 2 replicas enforce revision newrevision0"},
		},
		"served, but no authority to trust": {
			state: enforced(func(s *state) { s.caBundle = nil }, done(actionLeave, false)),
			want: conditionWords{
				"False", "WaitingForCertificate",
				"no certificate authority is published yet that the API server could trust",
			},
		},
		"refused from the start": {
			state: enforced(answer(replicas.Policy{
				Total: 2, Ready: 2, Refusing: 2,
				Refusals: []replicas.Refusal{refusal(contract.ReasonInvalidSettings, "labels: required", "pod-a", "pod-b")},
			}), done(actionWait, false)),
			want: conditionWords{"False", "InvalidSettings", "2 of 2 replicas refuse the policy: InvalidSettings: labels: required " +
				"(pod-a, pod-b); no revision of it is served, and its webhook is not created"},
		},
		"refused, while the older revision serves": {
			state: enforced(answer(replicas.Policy{
				Total: 2, Ready: 2, Serving: 2, Refusing: 2,
				Served:   []replicas.Revision{revision(oldRevision, false, 2)},
				Refusals: []replicas.Refusal{refusal(contract.ReasonInvalidSettings, "labels: required", "pod-a", "pod-b")},
			}), done(actionKeep, true)),
			want: conditionWords{"False", "InvalidSettings", "2 of 2 replicas refuse the policy: InvalidSettings: labels: required " +
				"(pod-a, pod-b); 2 of 2 ready replicas still serve the older revision 0ldrevision0"},
		},
		"refused with an empty message by many": {
			state: enforced(answer(replicas.Policy{
				Total: 4, Ready: 4, Refusing: 4,
				Refusals: []replicas.Refusal{
					refusal(contract.ReasonInvalidModule, "", "a", "b", "c", "d"),
					refusal(contract.ReasonFetchFailed, "x", "e"),
				},
			})),
			want: conditionWords{"False", "InvalidModule", "4 of 4 replicas refuse the policy: InvalidModule: no message " +
				"(a, b, c and 1 more) (and 1 other reasons); no replica serves it, and failurePolicy decides"},
		},
		"one of two cannot fetch it": {
			state: enforced(answer(replicas.Policy{
				Total: 2, Ready: 2, Serving: 1, Enforcing: 1, Refusing: 1,
				Served:   []replicas.Revision{revision(newRevision, true, 1)},
				Refusals: []replicas.Refusal{refusal(contract.ReasonFetchFailed, "timeout", "pod-b")},
			})),
			want: conditionWords{"False", "FetchFailed", "1 of 2 replicas cannot load the policy: FetchFailed: timeout (pod-b); " +
				"1 of 2 replicas enforce revision newrevision0"},
		},
		"reports that were cut": {
			state: enforced(answer(replicas.Policy{
				Total: 2, Ready: 2, Serving: 1, Enforcing: 1, Untold: 1, Served: []replicas.Revision{revision(newRevision, true, 1)},
			})),
			want: conditionWords{"False", "Loading", "1 of 2 replicas enforce revision newrevision0; the reports of 1 are too large to tell"},
		},
		"too large": {
			state: enforced(answer(replicas.Policy{
				Total: 2, Ready: 2, Serving: 2, Served: []replicas.Revision{revision(oldRevision, false, 2)},
			}), func(s *state) { s.refused = &render.RefusedEntry{Bytes: 140000, Room: 700000} }, done(actionKeep, true)),
			want: conditionWords{"False", "PolicyTooLarge", "the policy takes 140000 bytes of its server's configuration, and 131072 are allowed: " +
				"make its settings smaller; 2 of 2 ready replicas still serve the older revision 0ldrevision0"},
		},
		"no room": {
			state: enforced(answer(replicas.Policy{Total: 2, Ready: 2}),
				func(s *state) { s.refused = &render.RefusedEntry{Bytes: 2000, Room: 700000} }, done(actionWait, false)),
			want: conditionWords{"False", "PolicyServerFull", "PolicyServer default has no room for the policy, which takes 2000 of the 700000 bytes " +
				"that all its policies may have: bind some of them to another PolicyServer; " +
				"no revision of it is served, and its webhook is not created"},
		},
		"being deleted": {
			state: enforced(func(s *state) { s.policy.SetDeletionTimestamp(&now) }, done(actionWithdraw, false)),
			want:  conditionWords{"False", "Deleting", "the policy is being deleted"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, tc.cause)
			if diff := cmp.Diff(tc.want, words(tc.state, policiesv1.ConditionReady)); diff != "" {
				t.Errorf("unexpected Ready (-want +got):\n%s", diff)
			}
		})
	}
}

func words(s *state, conditionType string) conditionWords {
	for _, condition := range s.policy.GetStatus().Conditions {
		if condition.Type == conditionType && condition.ObservedGeneration == s.policy.GetGeneration() {
			return conditionWords{condition.Status, condition.Reason, condition.Message}
		}
	}
	return conditionWords{}
}

func TestUpstreamsConditions(t *testing.T) {
	type stages struct {
		active, reachable, upToDate metav1.ConditionStatus
		upToDateReason              string
		state                       policiesv1.PolicyState
		mode                        policiesv1.ObservedMode
	}
	refused := replicas.Policy{
		Total: 2, Ready: 2, Serving: 2, Refusing: 2,
		Served:   []replicas.Revision{revision(oldRevision, false, 2)},
		Refusals: []replicas.Refusal{refusal(contract.ReasonInvalidSettings, "no", "a", "b")},
	}
	tests := map[string]struct {
		state *state
		want  stages
	}{
		"enforced": {enforced(), stages{"True", "True", "True", "ConfigurationVersionMatch", "active", "protect"}},
		"without a server": {
			enforced(func(s *state) { s.server, s.replicas = nil, replicas.Policy{} }, done(actionWithdraw, false)),
			stages{"False", "False", "False", "UnknownConfigurationVersion", "scheduled", "unknown"},
		},
		"without a replica": {
			enforced(answer(replicas.Policy{}), done(actionWait, false)),
			stages{"False", "False", "False", "UnknownConfigurationVersion", "pending", "unknown"},
		},
		"loading": {
			enforced(answer(replicas.Policy{Total: 2, Ready: 2}), done(actionWait, false)),
			stages{"False", "False", "False", "ConfigurationVersionMismatch", "pending", "unknown"},
		},
		"served, the webhook not written yet": {
			enforced(done(actionLeave, false)),
			stages{"False", "True", "True", "ConfigurationVersionMatch", "pending", "protect"},
		},
		"a change is on its way": {
			enforced(answer(replicas.Policy{
				Total: 2, Ready: 2, Serving: 2, Enforcing: 1,
				Served: []replicas.Revision{revision(newRevision, true, 1), revision(oldRevision, false, 1)},
			}), done(actionKeep, true), lastMode("monitor")),
			stages{"False", "False", "False", "ConfigurationVersionMismatch", "active", "monitor"},
		},
		"a change is refused, the mode is still that of the older revision": {
			enforced(answer(refused), done(actionKeep, true), lastMode("monitor")),
			stages{"False", "False", "True", "ConfigurationVersionMatch", "active", "monitor"},
		},
		"all replicas lost, the webhook stays": {
			enforced(answer(replicas.Policy{Total: 2}), lastMode("protect")),
			stages{"False", "False", "False", "UnknownConfigurationVersion", "active", "protect"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, nil)
			status := tc.state.policy.GetStatus()
			got := stages{
				active:         words(tc.state, policiesv1.ConditionPolicyActive).Status,
				reachable:      words(tc.state, policiesv1.ConditionPolicyUniquelyReachable).Status,
				upToDate:       words(tc.state, policiesv1.ConditionPolicyServerConfigurationUpToDate).Status,
				upToDateReason: words(tc.state, policiesv1.ConditionPolicyServerConfigurationUpToDate).Reason,
				state:          status.PolicyStatus,
				mode:           status.Mode,
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(stages{})); diff != "" {
				t.Errorf("unexpected status (-want +got):\n%s", diff)
			}
		})
	}
}

func lastMode(mode policiesv1.ObservedMode) func(*state) {
	return func(s *state) { s.policy.GetStatus().Mode = mode }
}

func TestStatusNamesTheWholeDigestOfAPinnedModule(t *testing.T) {
	pinned := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	s := enforced(answer(replicas.Policy{Total: 2, Ready: 2, Serving: 2, Enforcing: 1, Served: []replicas.Revision{
		{Served: contract.Served{Revision: newRevision, ModuleDigest: "0123456789ab"}, Wanted: true, Replicas: 1},
		{Served: contract.Served{Revision: oldRevision, ModuleDigest: "ba9876543210"}, Replicas: 1},
	}}), func(s *state) { s.entry = contract.Entry{Module: "m", ModuleDigest: pinned} })
	setStatus(s, nil)
	status := s.policy.GetStatus()
	if status.ModuleDigest != pinned || status.Served[0].ModuleDigest != pinned || status.Served[1].ModuleDigest != "sha256:ba9876543210" {
		t.Errorf("got %s and %+v, want all digits of the module that is pinned", status.ModuleDigest, status.Served)
	}
}

func TestStatusCountsReplicas(t *testing.T) {
	s := enforced(answer(replicas.Policy{
		Total: 3, Ready: 2, Serving: 2, Enforcing: 1,
		Served: []replicas.Revision{revision(newRevision, true, 1), revision(oldRevision, false, 1)},
	}))
	setStatus(s, nil)
	want := policiesv1.PolicyStatus{
		ObservedGeneration: 3,
		Replicas:           &policiesv1.PolicyReplicas{Ready: 2, Enforcing: 1},
		ModuleDigest:       "sha256:d1gest",
		Served: []policiesv1.ServedRevision{
			{Revision: newRevision, ModuleDigest: "sha256:d1gest", Replicas: 1},
			{Revision: oldRevision, ModuleDigest: "sha256:d1gest", Replicas: 1},
		},
	}
	ignored := cmpopts.IgnoreFields(policiesv1.PolicyStatus{}, "Conditions", "PolicyStatus", "Mode")
	if diff := cmp.Diff(want, *s.policy.GetStatus(), ignored); diff != "" {
		t.Errorf("unexpected status (-want +got):\n%s", diff)
	}
}

func TestTransitions(t *testing.T) {
	status := func(stage policiesv1.PolicyState, generation int64, reason string, served ...string) *policiesv1.PolicyStatus {
		status := &policiesv1.PolicyStatus{PolicyStatus: stage}
		condition := metav1.Condition{
			Type: policiesv1.ConditionReady, Status: metav1.ConditionFalse,
			Reason: reason, Message: reason, ObservedGeneration: generation,
		}
		if reason == policiesv1.ReasonEnforced {
			condition.Status = metav1.ConditionTrue
		}
		status.Conditions = []metav1.Condition{condition}
		for _, revision := range served {
			status.Served = append(status.Served, policiesv1.ServedRevision{Revision: revision})
		}
		return status
	}
	const (
		pending = policiesv1.PolicyStatePending
		active  = policiesv1.PolicyStateActive
	)
	tests := map[string]struct {
		before, after *policiesv1.PolicyStatus
		want          string
	}{
		"first seen, loading":   {&policiesv1.PolicyStatus{}, status(pending, 1, "Loading"), ""},
		"first seen, unmanaged": {&policiesv1.PolicyStatus{}, status(pending, 1, "NoInstallation"), "Warning NoInstallation"},
		"became active":         {status(pending, 1, "Loading", "a"), status(active, 1, "Enforced", "a"), "Normal Enforced"},
		"still active":          {status(active, 1, "Enforced", "a"), status(active, 1, "Enforced", "a"), ""},
		"only rules changed":    {status(active, 1, "Enforced", "a"), status(active, 2, "Enforced", "a"), ""},
		"a change is loading":   {status(active, 1, "Enforced", "a"), status(active, 2, "Loading", "a"), ""},
		"a change is enforced":  {status(active, 2, "Loading", "a"), status(active, 2, "Enforced", "b"), "Normal Enforced"},
		"a change is enforced on the last replica": {
			status(active, 2, "Loading", "b", "a"), status(active, 2, "Enforced", "b"), "Normal Enforced",
		},
		"a further replica was heard of late": {status(active, 2, "Loading", "a"), status(active, 2, "Enforced", "a"), ""},
		"refused":                             {status(active, 2, "Loading", "a"), status(active, 2, "InvalidSettings", "a"), "Warning InvalidSettings"},
		"still refused":                       {status(active, 2, "InvalidSettings"), status(active, 2, "InvalidSettings"), ""},
		"the next change is refused too":      {status(active, 2, "InvalidSettings"), status(active, 3, "InvalidSettings"), "Warning InvalidSettings"},
		"recovered":                           {status(active, 3, "InvalidSettings", "a"), status(active, 4, "Enforced", "b"), "Normal Recovered"},
		"recovered by way of loading is told as enforced": {
			status(active, 4, "Loading", "a"), status(active, 4, "Enforced", "b"), "Normal Enforced",
		},
		"all replicas lost":           {status(active, 1, "Enforced", "a"), status(active, 1, "PolicyServerNotReady"), "Warning PolicyServerNotReady"},
		"no replica yet":              {&policiesv1.PolicyStatus{}, status(pending, 1, "PolicyServerNotReady"), ""},
		"the server went":             {status(active, 1, "Enforced", "a"), status(pending, 1, "PolicyServerNotFound"), "Warning PolicyServerNotFound"},
		"the server is not there yet": {&policiesv1.PolicyStatus{}, status(pending, 1, "PolicyServerNotFound"), ""},
		"suspended":                   {status(active, 1, "Enforced", "a"), status(pending, 1, "Suspended"), "Warning Suspended"},
		"deleted":                     {status(active, 1, "Enforced", "a"), status(active, 1, "Deleting"), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if event := transitionOf(tc.before, tc.after); event != nil {
				got = event.kind + " " + event.reason
			}
			if got != tc.want {
				t.Errorf("event = %q, want %q", got, tc.want)
			}
		})
	}
}
