package host_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// reader answers with a number of bytes if it is let.
type reader struct {
	read  func(host.Request) error
	reply int
	calls int
}

func (r *reader) Call(_ context.Context, request host.Request) ([]byte, error) {
	r.calls++
	if r.read != nil {
		if err := r.read(request); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
	}
	return []byte(strings.Repeat("x", r.reply)), nil
}

// What is too large in either direction is told with its size and the limit.
func TestSessionBoundsPayloadsAndReplies(t *testing.T) {
	tests := map[string]struct {
		limits         host.Limits
		payload, reply int
		wantErr        string
	}{
		"just small enough":        {host.Limits{Payload: 10, Reply: 20}, 10, 20, ""},
		"a payload too large":      {host.Limits{Payload: 10, Reply: 20}, 11, 20, "the payload of host call 'oci/v1/verify' has 11 bytes, at most 10 are allowed"},
		"a reply too large":        {host.Limits{Payload: 10, Reply: 20}, 10, 21, "the reply to host call 'oci/v1/verify' has 21 bytes, at most 20 are allowed"},
		"the usual limits":         {host.Limits{}, 1 << 20, 32 << 20, ""},
		"a usual payload and more": {host.Limits{}, 1<<20 + 1, 0, "the payload of host call 'oci/v1/verify' has 1048577 bytes, at most 1048576 are allowed"},
		"a usual reply and more":   {host.Limits{}, 0, 32<<20 + 1, "the reply to host call 'oci/v1/verify' has 33554433 bytes, at most 33554432 are allowed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			served := &reader{reply: tc.reply}
			dispatcher := host.NewDispatcher(map[string]host.Capability{"oci": served}, slog.New(slog.DiscardHandler))
			dispatcher.Limit(tc.limits)
			session := dispatcher.Session(host.Policy{ID: "p", Grants: grants(t, "oci/*")})
			got, err := session.Call(t.Context(), host.Call{
				Binding: "kubewarden", Namespace: "oci", Operation: "v1/verify", Payload: make([]byte, tc.payload),
			})
			checkText(t, err, tc.wantErr)
			if err == nil && len(got) != tc.reply {
				t.Errorf("got %d bytes, want %d", len(got), tc.reply)
			}
			if strings.Contains(tc.wantErr, "payload") && served.calls > 0 {
				t.Error("the capability was called with a payload that is too large")
			}
		})
	}
}

func checkText(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("got error %q\nwant      %q", got, want)
	}
}

// No capability is called when the evaluation is over, and no answer comes after that.
func TestSessionServesNothingAfterTheDeadline(t *testing.T) {
	call := host.Call{Binding: "kubewarden", Namespace: "oci", Operation: "v1/verify"}
	begin := func(served *reader) *host.Session {
		return host.NewDispatcher(map[string]host.Capability{"oci": served}, slog.New(slog.DiscardHandler)).
			Session(host.Policy{ID: "p", Grants: grants(t, "oci/*")})
	}
	past, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	served := &reader{reply: 1}
	_, err := begin(served).Call(past, call)
	checkText(t, err, "host call 'oci/v1/verify' was not served: the time for the evaluation is over")
	if served.calls != 0 {
		t.Error("the capability was called after the deadline")
	}

	ending, end := context.WithCancel(t.Context())
	_, err = begin(&reader{reply: 1, read: func(host.Request) error { end(); return nil }}).Call(ending, call)
	checkText(t, err, "host call 'oci/v1/verify' was not served: the evaluation was canceled")
}

// Objects are judged where the call is served: by kind, and by the namespace of the policy.
func TestRequestChecksWhatIsRead(t *testing.T) {
	const violation = "Policy has not been granted access to Kubernetes %s resources. The violation has been reported. "
	pods := host.Resource{APIVersion: "v1", Kind: "Pod"}
	tests := map[string]struct {
		domain   string
		resource host.Resource
		scope    host.Scope
		wantErr  string
	}{
		"everywhere":                             {"", pods, host.ScopeCluster, ""},
		"any namespace":                          {"", pods, "other", ""},
		"one's own namespace":                    {"mine", pods, "mine", ""},
		"another kind":                           {"", host.Resource{APIVersion: "v1", Kind: "Secret"}, "other", fmt.Sprintf(violation, "v1/Secret") + "Missing grant: apiVersion 'v1', kind 'Secret' in contextAwareResources of the policy"},
		"another version":                        {"", host.Resource{APIVersion: "v2", Kind: "Pod"}, "other", fmt.Sprintf(violation, "v2/Pod") + "Missing grant: apiVersion 'v2', kind 'Pod' in contextAwareResources of the policy"},
		"another namespace than the policy's":    {"mine", pods, "other", fmt.Sprintf(violation, "v1/Pod") + "It asked about namespace 'other', and as a policy of namespace 'mine' may ask about that namespace alone"},
		"everywhere, by a policy of a namespace": {"mine", pods, host.ScopeCluster, fmt.Sprintf(violation, "v1/Pod") + "It asked about the whole cluster, and as a policy of namespace 'mine' may ask about that namespace alone"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			served := &reader{reply: 1, read: func(request host.Request) error { return request.CheckRead(tc.resource, tc.scope) }}
			dispatcher := host.NewDispatcher(map[string]host.Capability{"kubernetes": served}, slog.New(slog.DiscardHandler))
			var seen calls
			dispatcher.Observe(&seen, func() time.Time { return time.Unix(0, 0) })
			session := dispatcher.Session(host.Policy{ID: "p", Domain: tc.domain, Grants: grants(t, "kubernetes/*")})
			_, err := session.Call(t.Context(), host.Call{Binding: "kubewarden", Namespace: "kubernetes", Operation: "get_resource"})
			checkText(t, err, tc.wantErr)
			want := "kubernetes/get_resource answered 0s"
			if tc.wantErr != "" {
				want = "kubernetes/get_resource denied 0s"
			}
			if len(seen) != 1 || seen[0] != want {
				t.Errorf("the observer was told %q, want %q", seen, want)
			}
		})
	}
}

// The policy of a namespace is told where its grants come from.
func TestSessionNamesTheMissingGrantOfANamespace(t *testing.T) {
	session := host.NewDispatcher(nil, slog.New(slog.DiscardHandler)).Session(host.Policy{ID: "p", Domain: "mine"})
	_, err := session.Call(t.Context(), host.Call{Binding: "kubewarden", Namespace: "oci", Operation: "v1/verify"})
	checkText(t, err, "Policy has not been granted access to the 'oci/v1/verify' host capability. The violation has been reported. "+
		"Missing grant: 'oci/v1/verify' in namespacedPoliciesCapabilities of its PolicyServer")
}
