package evaluation

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/groups"
)

// language is what every error about an expression says of the language.
const language = "an expression is made of member(), !, &&, ||, ?:, parentheses, true, false and comparisons"

// groupOf is a group whose members have no settings; members are name to module.
func groupOf(expression string, members map[string]string) contract.Entry {
	entry := contract.Entry{Expression: expression, Message: "the group says no", Policies: map[string]contract.Member{}}
	for name, module := range members {
		entry.Policies[name] = contract.Member{Module: module}
	}
	return entry
}

// words are a group with a member for each word of the fake modules, named after it.
func words(expression string) contract.Entry {
	members := map[string]string{}
	for _, word := range fakeWords {
		members[word] = word
	}
	return groupOf(expression, members)
}

var fakeWords = []string{"accept", "no", "silent", "mutate", "trap", "hang", "warn", "internal", "closed"}

func (w *world) serveWords() {
	for _, word := range fakeWords {
		w.serve(word, word)
	}
}

func TestEvaluateGroup(t *testing.T) {
	status := func(causes ...Cause) *Status {
		if len(causes) == 0 {
			return &Status{Message: new("the group says no")}
		}
		return &Status{Message: new("the group says no"), Details: &Details{Causes: causes}}
	}
	cause := func(member, message string) Cause {
		return Cause{Field: new("spec.policies." + member), Message: &message}
	}
	rejects := cause("no", "no {}")
	traps := cause("trap", "trapped")
	for name, tc := range map[string]struct {
		expression string
		want       Response
		wantAsked  string
	}{
		"accepts":                             {"accept()", Response{Allowed: true}, "accept"},
		"rejects":                             {"no()", Response{Status: status(rejects)}, "no"},
		"accepts, whatever a rejection says":  {"no() || accept()", Response{Allowed: true}, "accept no"},
		"accepts and drops what members warn": {"warn()", Response{Allowed: true}, "warn"},
		"rejects and drops what members warn": {"warn() && no()", Response{Status: status(rejects)}, "no warn"},
		"every rejection is a cause":          {"no() || (accept() && silent())", Response{Status: status(rejects, Cause{Field: new("spec.policies.silent")})}, "accept no silent"},
		"members that do not decide stay out": {"accept() || no()", Response{Allowed: true}, "accept"},
		"a rejection without a cause":         {"!accept()", Response{Status: status()}, "accept"},
		"a literal":                           {"false", Response{Status: status()}, ""},
		"a rejection turned round":            {"!no()", Response{Allowed: true}, "no"},
		"mutation is a rejection":             {"mutate()", Response{Status: status(cause("mutate", "mutation is not allowed inside of policy group"))}, "mutate"},
		"a member that fails denies":          {"trap()", Response{Status: status(traps)}, "trap"},
		"and so it does behind a !":           {"!trap()", Response{Status: status(traps)}, "trap"},
		"and before one that accepts":         {"trap() || accept()", Response{Status: status(traps)}, "trap"},
		"and after one that rejects":          {"no() || trap() || accept()", Response{Status: status(rejects, traps)}, "no trap"},
		"but not when nobody asks it":         {"accept() || trap()", Response{Allowed: true}, "accept"},
		"a member that hangs denies":          {"!hang()", Response{Status: status(cause("hang", "too slow"))}, "hang"},
		"a host that fails denies": {
			"internal() || accept()",
			Response{Status: &Status{Message: new("error evaluating policy group expression: host broke"), Code: new(uint16(500))}},
			"internal",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.serveWords()
				w.applyAndWait(entries(contract.Policies{"g": words(tc.expression)}))
				got, err := w.Evaluate(w.t.Context(), "g", Request{Origin: OriginValidate, Document: json.RawMessage("{}"), Object: json.RawMessage("{}")})
				if err != nil {
					w.t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					w.t.Errorf("-want +got:\n%s", diff)
				}
				if got := w.askedModules(); got != tc.wantAsked {
					w.t.Errorf("asked %q, want %q", got, tc.wantAsked)
				}
			})
		})
	}
}

// askedModules are the contents of the modules that were asked, sorted.
func (w *world) askedModules() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var asked []string
	for _, module := range w.compiled {
		for range module.asked.Load() {
			asked = append(asked, module.content)
		}
	}
	slices.Sort(asked)
	return strings.Join(asked, " ")
}

func TestEvaluateGroupByModeAndOrigin(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serveWords()
		monitors := words("no()")
		monitors.PolicyMode = contract.ModeMonitor
		w.applyAndWait(entries(contract.Policies{"protects": words("no()"), "monitors": monitors}))
		for name, tc := range map[string]struct {
			id        string
			origin    Origin
			namespace string
			want      bool
		}{
			"protect":                           {"protects", OriginValidate, "team", false},
			"protect, audit":                    {"protects", OriginAudit, "team", false},
			"protect, raw":                      {"protects", OriginRaw, "", false},
			"monitor":                           {"monitors", OriginValidate, "team", true},
			"monitor, raw":                      {"monitors", OriginRaw, "", true},
			"monitor, audit: the verdict":       {"monitors", OriginAudit, "team", false},
			"a namespace that is always spared": {"protects", OriginValidate, "exempt", true},
			"a member of a monitoring group":    {"monitors/no", OriginValidate, "team", false},
		} {
			got, err := w.Evaluate(t.Context(), tc.id, Request{Origin: tc.origin, Namespace: tc.namespace})
			if err != nil || got.Allowed != tc.want {
				t.Errorf("%s: got %+v, error %v; want allowed %t", name, got, err, tc.want)
			}
			if tc.want && got.Status != nil {
				t.Errorf("%s: got status %+v, want none", name, got.Status)
			}
		}
	})
}

func TestEvaluateMemberByItself(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serveWords()
		w.applyAndWait(entries(contract.Policies{"g": words("accept()"), "p": {Module: "no"}, "bad": groupOf("?", map[string]string{"a": "no"})}))
		want(t, w, "g/accept", "allowed")
		want(t, w, "g/no", "no {}")
		want(t, w, "g/trap", "trapped")
		want(t, w, "g/mutate", "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed")
		want(t, w, "g/absent", "error: unknown policy: g/absent")
		want(t, w, "absent/a", "error: unknown policy: absent/a")
		want(t, w, "p/no", "error: unknown policy: p/no")
		got, err := w.Evaluate(t.Context(), "g/mutate", Request{Origin: OriginValidate, Object: json.RawMessage("{}")})
		if err != nil || got.Allowed || got.Patch != nil || !strings.HasPrefix(*got.Status.Message, "Request rejected by policy g/mutate.") {
			t.Errorf("got %+v, error %v; want a refused mutation", got, err)
		}
		// What a request calls a member never becomes the name of a series.
		w.ask(t, "bad/made-up")
		if !slices.Equal(w.refused, []contract.Reason{contract.ReasonInvalidEntry}) || !slices.Equal(w.refusedIDs, []string{"bad"}) {
			t.Errorf("observed %v of %v, want InvalidEntry of the group", w.refused, w.refusedIDs)
		}
		if diff := cmp.Diff(len(fakeWords), len(w.Snapshot().Members)); diff != "" {
			t.Errorf("members in the snapshot; -want +got:\n%s", diff)
		}
	})
}

func TestEvaluateGroupErrorKinds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serveWords()
		w.applyAndWait(entries(contract.Policies{"g": words("!closed()")}))
		_, err := w.Evaluate(w.t.Context(), "g", Request{Origin: OriginValidate})
		var got *Error
		if !errors.As(err, &got) || got.Kind != KindUnavailable {
			w.t.Errorf("got %v, want KindUnavailable: another replica can answer", err)
		}
	})
}

func TestEvaluateGroupHasOneDeadline(t *testing.T) {
	member := func(module string, seconds int32) contract.Member {
		if seconds == 0 {
			return contract.Member{Module: module}
		}
		return contract.Member{Module: module, TimeoutEvalSeconds: &seconds}
	}
	for name, tc := range map[string]struct {
		expression string
		members    map[string]contract.Member
		unlimited  bool
		want       string
		wantTook   time.Duration
	}{
		"a member stops at the server's timeout": {
			"!a()", map[string]contract.Member{"a": member("hang", 0)}, false, "a: too slow", 2 * time.Second,
		},
		"a member stops at a timeout of its own": {
			"!a() || b()", map[string]contract.Member{"a": member("hang", 7), "b": member("accept", 0)}, false, "a: too slow", 7 * time.Second,
		},
		"members without one share the server's": {
			"a() && b() && c()",
			map[string]contract.Member{"a": member("slow1", 0), "b": member("slow2", 0), "c": member("accept", 0)},
			false,
			"b: too slow", 2 * time.Second,
		},
		"timeouts of their own add up": {
			"a() && b() && c()",
			map[string]contract.Member{"a": member("slow1", 2), "b": member("slow2", 2), "c": member("accept", 0)},
			false,
			"", 3 * time.Second,
		},
		"a member that is not called gives no time": {
			"a() && b()",
			map[string]contract.Member{"a": member("slow1", 0), "b": member("slow2", 0), "c": member("accept", 9)},
			false,
			"b: too slow", 2 * time.Second,
		},
		"without a limit of the server there is none": {
			"a() && b()", map[string]contract.Member{"a": member("slow1", 0), "b": member("slow2", 0)}, true, "", 3 * time.Second,
		},
		"without a limit of the server a member's own holds": {
			"!a()", map[string]contract.Member{"a": member("hang", 3)}, true, "a: too slow", 3 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				t := w.t
				for _, word := range []string{"hang", "slow1", "slow2", "accept"} {
					w.serve(word, word)
				}
				if tc.unlimited {
					w.loader.config.PolicyTimeout = 0
				}
				w.applyAndWait(entries(contract.Policies{"g": {Expression: tc.expression, Message: "no", Policies: tc.members}}))
				if got, took := w.firstCause("g"); got != tc.want || took != tc.wantTook {
					t.Errorf("got cause %q after %s, want cause %q after %s", got, took, tc.want, tc.wantTook)
				}
			})
		})
	}
}

// firstCause is the member that made a group deny and what it said, "" when the group
// accepted, and how long it took.
func (w *world) firstCause(id string) (string, time.Duration) {
	began := time.Now()
	response, err := w.Evaluate(w.t.Context(), id, Request{Origin: OriginValidate})
	took := time.Since(began)
	switch {
	case err != nil:
		return err.Error(), took
	case response.Allowed:
		return "", took
	case response.Status == nil || response.Status.Details == nil:
		return "none", took
	default:
		return strings.TrimPrefix(response.Status.Details.Causes[0].String(), fieldOfMember), took
	}
}

func TestEvaluateGroupObservesAndLogsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var output bytes.Buffer
		w := newWorld(t)
		log := slog.New(slog.NewTextHandler(&output, nil))
		w.config.Logger, w.loader.config.Logger = log, log
		w.run()
		w.serveWords()
		entry := words("no() || trap()")
		entry.PolicyMode = contract.ModeMonitor
		w.applyAndWait(entries(contract.Policies{"g": entry}))
		if got := w.ask(t, "g"); got != "allowed" {
			t.Errorf("got %q, want it allowed by monitor mode", got)
		}
		want := []Evaluation{{PolicyID: "g", Mode: contract.ModeMonitor, Origin: OriginValidate}}
		if diff := cmp.Diff(want, w.observed, cmpopts.IgnoreFields(Evaluation{}, "Latency")); diff != "" {
			t.Errorf("observed; -want +got:\n%s", diff)
		}
		for _, want := range []string{
			`level=WARN msg="member of a policy group failed" policy_id=g member=trap request_uid="" error=trapped`,
			`msg="policy evaluation (monitor mode)" policy_id=g`,
			`response.message="the group says no" response.causes="[spec.policies.no: no {} spec.policies.trap: trapped]"`,
		} {
			if !strings.Contains(output.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, output.String())
			}
		}
	})
}

func TestLoaderSwapsGroups(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "no one")
		w.serve("two", "no two")
		w.serve("accept", "accept")
		w.applyAndWait(entries(contract.Policies{"g": groupOf("a() || b()", map[string]string{"a": "one", "b": "accept"})}))
		want(t, w, "g", "allowed")
		before := w.Snapshot().Policies["g"]

		changed := groupOf("a() || b()", map[string]string{"a": "one", "b": "two"})
		w.applyAndWait(entries(contract.Policies{"g": changed}))
		want(t, w, "g", "the group says no")
		want(t, w, "g/b", "no two {}")
		after := w.Snapshot().Policies["g"]
		revision, err := contract.Revision(changed, after.ModuleDigest)
		if err != nil || after.Revision != revision || after == before || after.ModuleDigest == before.ModuleDigest || len(after.ModuleDigest) != 12 {
			t.Errorf("got %+v after %+v, error %v; want revision %s as the operator computes it, and another digest", after, before, err, revision)
		}
		if !w.module(t, "accept").closed.Load() || w.module(t, "no one").closed.Load() {
			t.Error("the module that no member uses any more is open, or the one that stayed is closed")
		}
		if got := w.fetches(); got != 3 {
			t.Errorf("got %d fetches, want one for each module", got)
		}
		w.applyAndWait(entries(nil))
		want(t, w, "g", "error: unknown policy: g")
		want(t, w, "g/b", "error: unknown policy: g/b")
		if !w.module(t, "no one").closed.Load() || !w.module(t, "no two").closed.Load() {
			t.Error("modules of the removed group are open")
		}
	})
}

func TestLoaderSharesModulesBetweenMembersAndPolicies(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("m", "m")
		w.applyAndWait(entries(contract.Policies{
			"p": {Module: "m"}, "g": groupOf("a() || b()", map[string]string{"a": "m", "b": "m"}), "h": groupOf("a()", map[string]string{"a": "m"}),
		}))
		if len(w.compiled) != 1 || w.fetches() != 1 {
			w.t.Errorf("got %d modules out of %d fetches, want one of each", len(w.compiled), w.fetches())
		}
		w.applyAndWait(entries(contract.Policies{"h": groupOf("a()", map[string]string{"a": "m"})}))
		want(w.t, w, "h", "the group says no")
		w.applyAndWait(entries(nil))
		if !w.module(w.t, "m").closed.Load() {
			w.t.Error("the module is open though nobody uses it")
		}
	})
}

func TestLoaderKeepsTheEarlierRevisionOfAGroup(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serveWords()
		good := words("no()")
		w.applyAndWait(entries(contract.Policies{"g": good}))
		want(t, w, "g", "the group says no")
		before := w.Snapshot().Policies

		bad := words("no() || accept()")
		bad.Message = "today's message"
		bad.Policies["accept"] = contract.Member{Module: "accept", Settings: settings("bad")}
		w.applyAndWait(entries(contract.Policies{"g": bad}))
		want(t, w, "g", "today's message")
		snapshot := w.Snapshot()
		if diff := cmp.Diff(before, snapshot.Policies); diff != "" {
			t.Errorf("what serves changed; -before +after:\n%s", diff)
		}
		if got := snapshot.Failures["g"]; got.Reason != contract.ReasonInvalidSettings || got.Cause != "member accept: Policy settings are invalid: bad is not good" {
			t.Errorf("got failure %+v", got)
		}

		broken := words("what?")
		broken.PolicyMode = contract.ModeMonitor
		w.applyAndWait(entries(contract.Policies{"g": broken}))
		want(t, w, "g", "allowed")
		w.applyAndWait(entries(contract.Policies{"g": good}))
		want(t, w, "g", "the group says no")
	})
}

func TestUnderEntryTakesTodaysGrantsOfMembers(t *testing.T) {
	w := newWorld(t)
	earlier := &servedPolicy{rules: Rules{PolicyID: "g"}, group: &group{id: "g", members: map[string]*guest{}}}
	entry := groupOf("kept() && gone() && garbled()", nil)
	for _, name := range []string{"kept", "gone", "garbled"} {
		asked, err := w.loader.newGuest(memberID("g", name), contract.Member{HostCapabilities: []string{"net/*"}})
		if err != nil {
			t.Fatal(err)
		}
		earlier.group.members[name] = asked
	}
	var err error
	if earlier.group.expression, err = groups.Compile(entry.Expression, slices.Collect(maps.Keys(earlier.group.members))); err != nil {
		t.Fatal(err)
	}
	entry.Policies = map[string]contract.Member{
		"kept": {HostCapabilities: []string{"net/*"}}, "garbled": {HostCapabilities: []string{"net"}, TimeoutEvalSeconds: new(int32(9))},
	}
	served := w.loader.underEntry(earlier, entry)
	for name, want := range map[string]bool{"kept": true, "gone": false, "garbled": false} {
		member := served.group.members[name]
		if got := member.call.Capabilities.Allows("net/v1/dns_lookup_host"); got != want {
			t.Errorf("%s: got the capability granted %t, want %t", name, got, want)
		}
		if member.call.PolicyID != "g/"+name {
			t.Errorf("got the ID %s of member %s", member.call.PolicyID, name)
		}
	}
	if want := 9*time.Second + 2*time.Second; served.group.timeout != want {
		t.Errorf("got timeout %s, want %s", served.group.timeout, want)
	}
}
