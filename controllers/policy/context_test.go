package policy

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/access"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// lack is that of everything there is to do with a resource.
func lack(group, resource string) access.Lack {
	verbs := []string{"get", "list", "watch"}
	return access.Lack{Rule: access.Rule{Group: group, Resource: resource, Verbs: verbs}, Missing: verbs}
}

func found(finding access.Finding) func(*state) {
	return func(s *state) {
		s.account = types.NamespacedName{Namespace: "kubewarden", Name: "policy-server-default"}
		s.context = &finding
	}
}

// saying puts ContextReadable into the status that was read.
func saying(status metav1.ConditionStatus) func(*state) {
	return func(s *state) {
		s.policy.GetStatus().Conditions = []metav1.Condition{{Type: policiesv1.ConditionContextReadable, Status: status}}
	}
}

// unread has a replica say that it cannot read a kind.
func unread(kind string, reason contract.UnreadableReason) func(*state) {
	return func(s *state) {
		s.replicas.Unreadable = append(s.replicas.Unreadable, replicas.Unreadable{
			Unreadable: contract.NewUnreadable(reason, "as it says"), Kind: kind, Replica: "p",
		})
	}
}

const lacksPods = `ServiceAccount kubewarden/policy-server-default may not get, list and watch pods (group "") in all namespaces: ` +
	`bind it to a ClusterRole with the rule apiGroups: [""], resources: [pods], verbs: [get, list, watch]`

func TestContextReadable(t *testing.T) {
	widget := policiesv1.ContextAwareResource{APIVersion: "example.com/v1", Kind: "Widget"}
	someLacks := []access.Lack{lack("", "pods"), lack("apps", "deployments"), lack("apps", "daemonsets"), lack("", "secrets"), lack("", "nodes")}
	watch := lack("", "pods")
	watch.Missing = []string{"watch"}
	const rule = "in all namespaces: bind it to a ClusterRole with the rule apiGroups: [\"apps\"], resources: "
	tests := map[string]struct {
		state *state
		want  *conditionWords
	}{
		"the policy declares nothing":    {enforced(), nil},
		"the policy declares no more":    {enforced(saying(metav1.ConditionFalse)), nil},
		"all can be read":                {enforced(found(access.Finding{})), &conditionWords{"True", "RightsSuffice", "ServiceAccount kubewarden/policy-server-default may read what the policy declares"}},
		"a right is missing":             {enforced(found(access.Finding{Lacks: []access.Lack{lack("", "pods")}})), &conditionWords{"False", "MissingRights", lacksPods}},
		"a right is missing for now":     {enforced(found(access.Finding{Lacks: []access.Lack{lack("", "pods")}, Unsettled: true})), &conditionWords{"Unknown", "RightsUnknown", "roles and bindings may be on their way: " + lacksPods}},
		"a right is missing, as before":  {enforced(saying(metav1.ConditionFalse), found(access.Finding{Lacks: []access.Lack{lack("", "pods")}, Unsettled: true})), &conditionWords{"False", "MissingRights", lacksPods}},
		"a right is missing, since now":  {enforced(saying(metav1.ConditionTrue), found(access.Finding{Lacks: []access.Lack{lack("", "pods")}, Unsettled: true})), &conditionWords{"Unknown", "RightsUnknown", "roles and bindings may be on their way: " + lacksPods}},
		"one of three verbs is missing":  {enforced(found(access.Finding{Lacks: []access.Lack{watch}})), &conditionWords{"False", "MissingRights", `ServiceAccount kubewarden/policy-server-default may not watch pods (group "") in all namespaces: bind it to a ClusterRole with the rule apiGroups: [""], resources: [pods], verbs: [get, list, watch]`}},
		"nobody has heard of a kind":     {enforced(found(access.Finding{Unserved: []policiesv1.ContextAwareResource{widget}})), &conditionWords{"False", "KindNotServed", "the API server serves no kind Widget of example.com/v1"}},
		"both":                           {enforced(found(access.Finding{Unserved: []policiesv1.ContextAwareResource{widget}, Lacks: []access.Lack{lack("", "pods")}})), &conditionWords{"False", "MissingRights", lacksPods + "; the API server serves no kind Widget of example.com/v1"}},
		"the API server does not answer": {enforced(found(access.Finding{Failed: errors.New("no answer")})), &conditionWords{"Unknown", "RightsUnknown", "no answer"}},
		"a kind has no room": {enforced(found(access.Finding{}), unread("v1/Pod", contract.UnreadableNoRoom)), &conditionWords{"False", "NoRoomForObjects", "replica p cannot read v1/Pod: as it says; " +
			"raise the memory limit of the PolicyServer, or give the policy a PolicyServer of its own"}},
		"a replica is refused":       {enforced(found(access.Finding{}), unread("v1/Pod", contract.UnreadableForbidden)), &conditionWords{"False", "MissingRights", "replica p cannot read v1/Pod: as it says"}},
		"a replica finds no kind":    {enforced(found(access.Finding{}), unread("v1/Lamp", contract.UnreadableNotServed)), &conditionWords{"False", "KindNotServed", "replica p cannot read v1/Lamp: as it says"}},
		"a replica of later":         {enforced(found(access.Finding{}), unread("v1/Pod", "Later")), &conditionWords{"False", "KindUnreadable", "replica p cannot read v1/Pod: as it says"}},
		"a rule says more":           {enforced(found(access.Finding{Lacks: []access.Lack{lack("", "pods")}}), unread("v1/Pod", contract.UnreadableForbidden)), &conditionWords{"False", "MissingRights", lacksPods}},
		"a replica, and nobody else": {enforced(found(access.Finding{Failed: errors.New("no answer")}), unread("v1/Pod", contract.UnreadableForbidden)), &conditionWords{"False", "MissingRights", "replica p cannot read v1/Pod: as it says"}},
		"many": {enforced(found(access.Finding{Lacks: someLacks, Unserved: []policiesv1.ContextAwareResource{widget, widget, widget, widget, widget}})), &conditionWords{
			"False", "MissingRights", lacksPods +
				`; may not get, list and watch deployments (group "apps") ` + rule + "[deployments], verbs: [get, list, watch]" +
				`; may not get, list and watch daemonsets (group "apps") ` + rule + "[daemonsets], verbs: [get, list, watch]" +
				"; and lacks rules for 2 other resources" +
				"; the API server serves no kind Widget of example.com/v1; the API server serves no kind Widget of example.com/v1" +
				"; the API server serves no kind Widget of example.com/v1; and 2 other kinds",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, nil)
			var got *conditionWords
			if condition := apimeta.FindStatusCondition(tc.state.policy.GetStatus().Conditions, policiesv1.ConditionContextReadable); condition != nil {
				got = &conditionWords{condition.Status, condition.Reason, condition.Message}
				if condition.ObservedGeneration != 3 {
					t.Errorf("it tells of generation %d, want 3", condition.ObservedGeneration)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadyTellsOfContextThatCannotBeRead(t *testing.T) {
	s := enforced(found(access.Finding{Lacks: []access.Lack{lack("", "pods")}}))
	setStatus(s, nil)
	got := apimeta.FindStatusCondition(s.policy.GetStatus().Conditions, policiesv1.ConditionReady)
	want := "2 of 2 replicas enforce revision newrevision0; it may not read all that it declares, see ContextReadable"
	if got.Status != metav1.ConditionTrue || got.Message != want {
		t.Errorf("Ready is %s: %s\nwant True: %s", got.Status, got.Message, want)
	}
}

func TestContextEvents(t *testing.T) {
	const none = ""
	condition := func(status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: policiesv1.ConditionContextReadable, Status: status, Reason: reason, Message: "message of " + reason}}
	}
	missing := condition(metav1.ConditionFalse, policiesv1.ReasonMissingRights)
	unserved := condition(metav1.ConditionFalse, policiesv1.ReasonKindNotServed)
	suffice := condition(metav1.ConditionTrue, policiesv1.ReasonRightsSuffice)
	unknown := condition(metav1.ConditionUnknown, policiesv1.ReasonRightsUnknown)
	for name, tc := range map[string]struct {
		before, after []metav1.Condition
		kind, reason  string
	}{
		"missing from the beginning":  {nil, missing, corev1.EventTypeWarning, "MissingRights"},
		"found to be missing":         {unknown, missing, corev1.EventTypeWarning, "MissingRights"},
		"taken away":                  {suffice, missing, corev1.EventTypeWarning, "MissingRights"},
		"still missing":               {missing, missing, none, none},
		"missing in another way":      {missing, unserved, corev1.EventTypeWarning, "KindNotServed"},
		"granted":                     {missing, suffice, corev1.EventTypeNormal, "RightsSuffice"},
		"there from the beginning":    {nil, suffice, none, none},
		"there after all":             {unknown, suffice, none, none},
		"still there":                 {suffice, suffice, none, none},
		"not known any more":          {suffice, unknown, none, none},
		"not declared any more":       {missing, nil, none, none},
		"neither before nor after it": {nil, nil, none, none},
	} {
		t.Run(name, func(t *testing.T) {
			got := contextTransitionOf(&policiesv1.PolicyStatus{Conditions: tc.before}, &policiesv1.PolicyStatus{Conditions: tc.after})
			if got == nil {
				got = &transition{}
			}
			if got.kind != tc.kind || got.reason != tc.reason {
				t.Errorf("got %s %s, want %s %s", got.kind, got.reason, tc.kind, tc.reason)
			}
			if tc.reason != none && got.message != "message of "+tc.reason {
				t.Errorf("the message is %q", got.message)
			}
		})
	}
}

func TestWhenToLookAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		state *state
		want  time.Duration
	}{
		"nothing to wait for":                {enforced(), 0},
		"for a replica":                      {enforced(func(s *state) { s.unreachable = time.Second }), time.Second},
		"for rights":                         {enforced(found(access.Finding{After: time.Minute})), time.Minute},
		"for a replica first":                {enforced(found(access.Finding{After: time.Minute}), func(s *state) { s.unreachable = time.Second }), time.Second},
		"for rights first, then the replica": {enforced(found(access.Finding{After: time.Second}), func(s *state) { s.unreachable = time.Minute }), time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.state.after(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
