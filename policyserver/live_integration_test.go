//go:build integration

package policyserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

var admin kubernetes.Interface

func TestMain(m *testing.M) {
	os.Exit(func() int {
		environment := &envtest.Environment{}
		config, err := environment.Start()
		if err != nil {
			fmt.Fprintln(os.Stderr, "start the API server:", err)
			return 1
		}
		defer func() { _ = environment.Stop() }()
		admin = kubernetes.NewForConfigOrDie(config)
		return m.Run()
	}())
}

// live is a policy server that follows a ConfigMap, and the operator's side of it.
type live struct {
	*running

	t        *testing.T
	replica  string
	settings *Live
	from     images
}

// startLive makes the ConfigMaps and starts the server.
func startLive(t *testing.T, from images, policies contract.Policies) *live {
	t.Helper()
	return startLiveVerifying(t, from, policies, "")
}

// startLiveVerifying starts a server that demands the signatures of a file.
func startLiveVerifying(t *testing.T, from images, policies contract.Policies, verification string) *live {
	t.Helper()
	name := strings.ToLower(t.Name())
	l := &live{t: t, replica: name + "-replica", from: from, settings: &Live{
		Client: admin, Namespace: metav1.NamespaceDefault, ConfigMap: contract.ConfigMapName(name),
		ReportConfigMap: contract.ReportConfigMapName(name), Replica: name + "-replica",
	}}
	for _, configMap := range []string{l.settings.ConfigMap, l.settings.ReportConfigMap} {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: configMap}}
		if _, err := admin.CoreV1().ConfigMaps(l.settings.Namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l.want(policies)
	l.running = start(t, Config{Live: l.settings, Verification: verification, PolicyTimeout: time.Minute}) // no test here is about deadlines
	return l
}

// want writes the configuration as the operator does.
func (l *live) want(policies contract.Policies) {
	l.t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: l.settings.ConfigMap}, Data: map[string]string{
		contract.KeyPolicies: string(encode(l.t, policies)), contract.KeySources: string(l.from.sources(l.t)),
	}}
	if _, err := admin.CoreV1().ConfigMaps(l.settings.Namespace).Update(l.t.Context(), object, metav1.UpdateOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

// reported reads the report as the operator does.
func (l *live) reported() contract.Report {
	l.t.Helper()
	object, err := admin.CoreV1().ConfigMaps(l.settings.Namespace).Get(l.t.Context(), l.settings.ReportConfigMap, metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	reports, unreadable := contract.DecodeReports(object.Data, object.BinaryData)
	if len(unreadable) > 0 {
		l.t.Fatal(unreadable)
	}
	return reports[l.replica]
}

// enforces says whether the report says that an entry is served, as the operator decides it.
func (l *live) enforces(policyID string, entry contract.Entry) bool {
	l.t.Helper()
	served := l.reported().Policies[policyID]
	want, err := contract.Revision(entry, served.ModuleDigest)
	if err != nil {
		l.t.Fatal(err)
	}
	return served.Revision == want
}

func requireLabel(module string, label string) contract.Entry {
	return contract.Entry{Module: module, Settings: json.RawMessage(fmt.Sprintf(`{"mandatory_labels":[%q]}`, label))}
}

// Settings change under traffic: each answer is that of one revision, no client ever sees
// an older one after a newer one, and each change is reported within seconds.
func TestLiveSettingsChangeUnderTraffic(t *testing.T) {
	from := newImages(t)
	module := from.push(t, "required-labels", policiestest.Module(t, "required-labels"))
	l := startLive(t, from, contract.Policies{"p": requireLabel(module, "label-0")})
	l.waitReady(t)
	eventually(t, "the first report", func() bool { return l.enforces("p", requireLabel(module, "label-0")) })

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var answers atomic.Int64
	for range 6 {
		clients.Go(func() {
			newest := 0
			for ctx.Err() == nil {
				got, err := l.tryAsk("p", `{"metadata":{"labels":{"other":"x"}}}`)
				if err != nil {
					t.Error(err)
					return
				}
				var revision int
				if _, err := fmt.Sscanf(got.Message, `mandatory label "label-%d" is missing`, &revision); err != nil || got.Allowed || got.HTTP != 200 || revision < newest {
					t.Errorf("got %+v, want the denial of revision %d or a later one", got, newest)
					return
				}
				newest = revision
				answers.Add(1)
			}
		})
	}
	var took []time.Duration
	for revision := 1; revision <= 20; revision++ {
		entry := requireLabel(module, fmt.Sprint("label-", revision))
		began := time.Now()
		l.want(contract.Policies{"p": entry})
		eventually(t, fmt.Sprint("the report of revision ", revision), func() bool { return l.enforces("p", entry) })
		took = append(took, time.Since(began))
	}
	stop()
	clients.Wait()
	slices.Sort(took)
	if median := took[len(took)/2]; median > 5*time.Second {
		t.Errorf("a change took %s to be reported, want less than 5 s", median)
	}
	t.Logf("%d answers; changes were reported after %s to %s", answers.Load(), took[0], took[len(took)-1])
}

func TestLiveBadSettingsKeepTheEarlierRevision(t *testing.T) {
	from := newImages(t)
	module := from.push(t, "required-labels", policiestest.Module(t, "required-labels"))
	good, bad := requireLabel(module, "team"), requireLabel(module, "not a label!")
	l := startLive(t, from, contract.Policies{"p": good})
	l.waitReady(t)
	l.want(contract.Policies{"p": bad, "new": good})
	hash, err := contract.EntryHash(bad)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the report of the failure", func() bool {
		failure := l.reported().Failures["p"]
		return failure.Wanted == hash && failure.Reason == contract.ReasonInvalidSettings && strings.Contains(failure.Message, "not a label!")
	})
	eventually(t, "the report of the policy beside it", func() bool { return l.enforces("new", good) })
	if !l.enforces("p", good) {
		t.Error("the earlier revision is not reported any more")
	}
	if got := l.ask(t, "p", `{"metadata":{}}`); got.Message != `mandatory label "team" is missing` {
		t.Errorf("got %+v, want the earlier revision's answer", got)
	}
	l.want(contract.Policies{"p": good})
	eventually(t, "the end of the failure", func() bool { return len(l.reported().Failures) == 0 })
	eventually(t, "the end of the removed policy", func() bool { _, there := l.reported().Policies["new"]; return !there })
}

// A fresh replica whose registry cannot be reached is not ready; it becomes so when it can.
func TestLiveReadinessWaitsForModules(t *testing.T) {
	from := newImages(t)
	module := from.push(t, "accepting", wasmtest.Accepting())
	unreachable := newImages(t)
	missing := unreachable.push(t, "accepting", wasmtest.Accepting())
	unreachable.Close()
	l := startLive(t, from, contract.Policies{"good": {Module: module}, "missing": {Module: missing}})
	eventually(t, "the report of the failure", func() bool { return l.reported().Failures["missing"].Reason == contract.ReasonFetchFailed })
	if status, why := l.page(t, "readiness", contract.PathReadiness); status == 200 {
		t.Errorf("got status %d, %q; want the replica unready", status, why)
	}
	l.want(contract.Policies{"good": {Module: module}, "refused": {Module: module + "-absent"}})
	l.waitReady(t)
	eventually(t, "the report of the refused one", func() bool { return l.reported().Failures["refused"].Reason == contract.ReasonModuleNotFound })
	if report := l.reported(); report.StartTime == "" || report.ServingCertificate == "" || report.ConfigRevision == "" {
		t.Errorf("got %+v", report)
	}
}

// What the operator pins is served by a replica that comes after the tag has moved, and pins
// are taken for no change; a new value of refresh resolves the tag again.
func TestLiveServesWhatIsPinned(t *testing.T) {
	from := newImages(t)
	tag := from.push(t, "latest", wasmtest.Answering(`{"accepted":false,"message":"first"}`))
	group := func(digest, refresh string) contract.Entry {
		return contract.Entry{
			Expression: "m()", Message: "the group says no", Refresh: refresh,
			Policies: map[string]contract.Member{"m": {Module: tag, ModuleDigest: digest}},
		}
	}
	wanted := func(digest, refresh string) contract.Policies {
		return contract.Policies{"p": {Module: tag, ModuleDigest: digest, Refresh: refresh}, "g": group(digest, refresh)}
	}
	l := startLive(t, from, wanted("", ""))
	l.waitReady(t)
	eventually(t, "the report of digests", func() bool { return len(l.reported().Digests) == 2 })
	first := l.reported()
	digest := first.Digests["p"]
	if first.Digests["g/m"] != digest || len(digest) != len("sha256:")+64 {
		t.Fatalf("got digests %v, want the same 64 digits for policy and member", first.Digests)
	}

	from.push(t, "latest", wasmtest.Answering(`{"accepted":false,"message":"second"}`))
	l.want(wanted(digest, ""))
	eventually(t, "the report without digests that are pinned", func() bool { return len(l.reported().Digests) == 0 })
	pinned := l.reported()
	if !maps.Equal(first.Policies, pinned.Policies) || first.ConfigRevision != pinned.ConfigRevision {
		t.Errorf("got %+v, want the revisions of before, %+v", pinned.Policies, first.Policies)
	}

	young := *l.settings
	young.ReportConfigMap = ""
	latecomer := start(t, Config{Live: &young, PolicyTimeout: time.Minute})
	latecomer.waitReady(t)
	if got := latecomer.ask(t, "p", "{}").Message; got != "first" {
		t.Errorf("got %q from a replica that came after the tag had moved, want what all others say", got)
	}

	l.want(wanted("", "now"))
	eventually(t, "the module that the tag stands for now", func() bool { return l.ask(t, "p", "{}").Message == "second" })
	eventually(t, "the report of its digest", func() bool {
		report := l.reported()
		return report.Digests["p"] != "" && report.Digests["p"] != digest && report.Digests["g/m"] == report.Digests["p"]
	})
}
