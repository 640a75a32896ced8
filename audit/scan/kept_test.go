package scan

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// kept is a scan of one object by two policies, of which the tests change one thing and
// scan again.
type kept struct {
	t       *testing.T
	double  *double
	client  client.Client
	labels  map[string]string
	object  *unstructured.Unstructured
	version plan.Version
	scanner string
	now     time.Time
}

func newKept(t *testing.T) *kept {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := report.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	k := &kept{
		t: t, double: newDouble(t), client: fake.NewClientBuilder().WithScheme(scheme).Build(), labels: map[string]string{"env": "prod"},
		object: &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "web", "namespace": "team-a", "uid": "uid-web", "resourceVersion": "1"},
		}},
		version: plan.Version{Resource: pods}, scanner: "1", now: time.Unix(1_795_608_000, 0),
	}
	compiler := matching.NewCompiler()
	for _, name := range []string{"denies", "passes"} {
		policy := &plan.Policy{ID: "kw.cap." + name, Name: name, Server: "default", Revision: "revision-" + name}
		matcher, err := compiler.Compile(matching.Webhook{Name: policy.ID, Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*"}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		k.double.serve(policy.ID, policy.Revision)
		k.version.Questions = append(k.version.Questions, plan.Question{Policy: policy, Operation: matching.Create, Matcher: matcher})
	}
	k.double.judge("kw.cap.passes", allow)
	k.double.judge("kw.cap.denies", func(*unstructured.Unstructured) (bool, string) { return false, "no" })
	return k
}

// scan is a scan of its own, an hour after the last one, and what became of the report.
func (k *kept) scan() (Summary, []string) {
	k.t.Helper()
	k.now = k.now.Add(time.Hour)
	store, err := report.NewStore(k.client, report.KindPolicyReport, k.now.String())
	if err != nil {
		k.t.Fatal(err)
	}
	scanner := &Scanner{config: Config{
		Asker: impatient(k.double.transport(k.t, TransportConfig{})), Store: store, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return k.now }, Version: k.scanner, ParallelResources: 2, ParallelPolicies: 2,
	}}
	session, err := store.Open(k.t.Context(), "team-a")
	if err != nil {
		k.t.Fatal(err)
	}
	defer session.Close()
	r := &run{Scanner: scanner, servers: map[string]endpoint{"default": {url: "https://policy-server-default.kubewarden.svc"}}}
	p := r.newPass(place{namespace: "team-a", labels: k.labels}, nil)
	p.session = session
	object := itemOf(k.t, k.version.Resource, k.object.Object)
	p.write(k.t.Context(), report.Report{Scope: scope(k.version, object), Results: p.judge(k.t.Context(), k.version, object)})
	return r.counts.summary(nil), k.double.questions()
}

// checkCounts holds that the summary counts each question once: as asked, for one reason, or
// else as kept.
func (k *kept) checkCounts(summary Summary, asked int, why Asked) {
	k.t.Helper()
	if want := len(k.version.Questions) - asked; summary.Kept != want || summary.Asked[why] != asked {
		k.t.Errorf("kept %d, want %d; asked %v, want %d of %q", summary.Kept, want, summary.Asked, asked, why)
	}
}

// report is the stored report.
func (k *kept) report() *v1alpha2.PolicyReport {
	k.t.Helper()
	stored := &v1alpha2.PolicyReport{}
	if err := k.client.Get(k.t.Context(), types.NamespacedName{Namespace: "team-a", Name: "uid-web"}, stored); err != nil {
		k.t.Fatal(err)
	}
	return stored
}

// edit changes the stored report as somebody else would.
func (k *kept) edit(change func(*v1alpha2.PolicyReport)) {
	k.t.Helper()
	stored := k.report()
	change(stored)
	if err := k.client.Update(k.t.Context(), stored); err != nil {
		k.t.Fatal(err)
	}
}

// TestResultsAreKeptWhileNothingChangesThatTheyFollowFrom changes one thing between two
// scans, and counts the questions and writes of the second and of a third.
func TestResultsAreKeptWhileNothingChangesThatTheyFollowFrom(t *testing.T) {
	denies, passes := "kw.cap.denies CREATE web", "kw.cap.passes CREATE web"
	policy := func(k *kept) *plan.Policy { return k.version.Questions[0].Policy }
	cases := map[string]struct {
		change func(*kept)
		asked  []string
		why    Asked
		// rewritten: the report says something else; again: it is asked in each scan.
		rewritten, again bool
	}{
		"nothing": {change: func(*kept) {}},
		"the object": {
			change: func(k *kept) { k.object.SetResourceVersion("2") }, asked: []string{denies, passes}, why: AskedChanged, rewritten: true,
		},
		"the object as it is read in the same version": {
			change: func(k *kept) { k.object.SetLabels(map[string]string{"by": "default"}) }, asked: []string{denies, passes}, why: AskedChanged, rewritten: true,
		},
		"labels of the namespace": {
			change: func(k *kept) { k.labels = map[string]string{"env": "test"} }, asked: []string{denies, passes}, why: AskedChanged, rewritten: true,
		},
		"the revision of a policy": {change: func(k *kept) {
			policy(k).Revision = "of other settings, or another module"
			k.double.serve("kw.cap.denies", policy(k).Revision)
		}, asked: []string{denies}, why: AskedChanged, rewritten: true},
		"the status of a policy alone": {change: func(k *kept) { policy(k).ResourceVersion = "2" }},
		"the mode of a policy in the same revision": {
			change: func(k *kept) { policy(k).Monitor = true }, rewritten: true,
		},
		"the version of the scanner": {
			change: func(k *kept) { k.scanner = "2" }, asked: []string{denies, passes}, why: AskedChanged, rewritten: true,
		},
		"the version in which the object is asked about": {
			change: func(k *kept) { k.version.Resource.GVR.Version = "v2" }, asked: []string{denies, passes}, why: AskedChanged, rewritten: true,
		},
		"another operation": {change: func(k *kept) {
			question := k.version.Questions[0]
			question.Operation = matching.Delete
			k.version.Questions = append(k.version.Questions, question)
		}, asked: []string{"kw.cap.denies DELETE web"}, why: AskedFirst, rewritten: true},
		"a policy less": {change: func(k *kept) { k.version.Questions = k.version.Questions[:1] }, rewritten: true},
		"replicas that do not agree": {
			change: func(k *kept) { policy(k).Revision = "" }, asked: []string{denies}, why: AskedUnsettled, again: true,
		},
		"a verdict that somebody edited": {
			change: func(k *kept) { k.edit(func(r *v1alpha2.PolicyReport) { r.Results[0].Result = "pass" }) },
			asked:  []string{denies}, why: AskedChanged, rewritten: true,
		},
		"a message that somebody edited": {
			change: func(k *kept) { k.edit(func(r *v1alpha2.PolicyReport) { r.Results[0].Message = "yes" }) },
			asked:  []string{denies}, why: AskedChanged, rewritten: true,
		},
		"a report of a version that kept nothing": {change: func(k *kept) {
			k.edit(func(r *v1alpha2.PolicyReport) {
				for i := range r.Results {
					delete(r.Results[i].Properties, "verdict-basis")
				}
			})
		}, asked: []string{denies, passes}, why: AskedUnsealed, rewritten: true},
		"a report that is gone": {change: func(k *kept) {
			if err := k.client.Delete(k.t.Context(), k.report()); err != nil {
				k.t.Fatal(err)
			}
		}, asked: []string{denies, passes}, why: AskedFirst, rewritten: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			k := newKept(t)
			k.scan()
			tc.change(k)
			summary, asked := k.scan()
			if diff := cmp.Diff(tc.asked, asked, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			k.checkCounts(summary, len(asked), tc.why)
			if wrote := summary.Reports[report.Unchanged] == 0; wrote != tc.rewritten {
				t.Errorf("reports %v, want it written: %t", summary.Reports, tc.rewritten)
			}
			summary, asked = k.scan()
			if (len(asked) > 0) != tc.again || summary.Reports[report.Unchanged] != 1 {
				t.Errorf("a third scan asked %q, reports %v", asked, summary.Reports)
			}
		})
	}
}

// TestAMessageThatIsWrittenInOtherWordsIsKept has a policy say what a report does not take.
func TestAMessageThatIsWrittenInOtherWordsIsKept(t *testing.T) {
	for name, message := range map[string]string{
		"long": strings.Repeat("no ", 1000), "far too long": strings.Repeat("nö ", 100_000), "coloured, in lines": "\x1b[31mno\x1b[0m\nnever\n",
	} {
		t.Run(name, func(t *testing.T) {
			k := newKept(t)
			k.double.judge("kw.cap.denies", func(*unstructured.Unstructured) (bool, string) { return false, message })
			k.scan()
			if got := k.report().Results[0].Message; got == message || got == "" {
				t.Fatalf("the message is %q", got)
			}
			for range 2 {
				summary, asked := k.scan()
				if len(asked) > 0 || summary.Kept != 2 || summary.Reports[report.Unchanged] != 1 {
					t.Errorf("asked %q; summary %+v", asked, summary)
				}
			}
		})
	}
}

// TestAKeptResultSaysWhenThePolicyWasAsked holds that a report which is written for another
// result says of each when it was asked for.
func TestAKeptResultSaysWhenThePolicyWasAsked(t *testing.T) {
	k := newKept(t)
	k.scan()
	first := k.now
	k.version.Questions[0].Policy.Revision = "another"
	k.double.serve("kw.cap.denies", "another")
	k.scan()
	got := map[string]int64{}
	for _, result := range k.report().Results {
		got[result.Policy] = result.Timestamp.Seconds
	}
	if diff := cmp.Diff(map[string]int64{"kw.cap.denies": k.now.Unix(), "kw.cap.passes": first.Unix()}, got); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
}

// TestResultsThatMayVaryAreAskedForAgain holds that neither errors nor verdicts of policies
// that asked for more than the request are kept.
func TestResultsThatMayVaryAreAskedForAgain(t *testing.T) {
	cases := map[string]func(*double){
		"the policy server does not vouch for the verdict": func(d *double) { d.serve("kw.cap.denies", "") },
		"there was no verdict": func(d *double) {
			d.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/audit/kw.cap.denies" {
					d.mu.Lock()
					d.asked = append(d.asked, "kw.cap.denies CREATE web")
					d.mu.Unlock()
					http.Error(w, "broken", http.StatusInternalServerError)
					return
				}
				d.ServeHTTP(w, r)
			})
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			k := newKept(t)
			prepare(k.double)
			k.scan()
			for range 2 {
				summary, asked := k.scan()
				if diff := cmp.Diff([]string{"kw.cap.denies CREATE web"}, asked); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
				if summary.Kept != 1 || summary.Asked[AskedUnsealed] != 1 || summary.Reports[report.Unchanged] != 1 {
					t.Errorf("summary %+v", summary)
				}
			}
		})
	}
}
