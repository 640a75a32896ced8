package conformance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// fewest is how many cases there are at least.
const fewest = 550

// fewestWarm is how many of their policies can be warm at least.
const fewestWarm = 200

func TestConformance(t *testing.T) {
	cases, err := Load(os.DirFS("cases"))
	if err != nil {
		t.Fatal(err)
	}
	if written, err := Count(os.DirFS("cases")); err != nil || len(cases) != written || written < fewest {
		t.Fatalf("loaded %d cases of %d that are written, error %v; want all of them, and at least %d", len(cases), written, err, fewest)
	}
	requests := os.DirFS("requests")
	policies := policiesFile(t, cases)
	store := t.TempDir() // of modules, as they came and compiled: those who start later have less to do
	world := newWorld(t)
	var engines engines
	engines.fresh, _ = world.newEnvironment(t, policy.IsolationFresh, store, policies)
	engines.pristine, _ = world.newEnvironment(t, policy.IsolationPristine, store, policies)
	var engine *policy.Engine
	engines.warm, engine = world.newEnvironment(t, policy.IsolationPristine, store, warmed(t, policies, cases))
	if stats := engine.Stats(); stats.Warm < fewestWarm {
		t.Errorf("%d policies are warm, want at least %d: the others are not for %v", stats.Warm, fewestWarm, stats.NotWarm)
	} else {
		t.Logf("%d policies are warm, the others are not for %v", stats.Warm, stats.NotWarm)
	}
	t.Run("in random order", func(t *testing.T) { engines.shuffled(t, cases, requests) })
	remote := newRemote(t, store, policies, world)
	serverOnly := 0
	var waiting sync.WaitGroup
	places := make(chan struct{}, atOnce)
	run := func(name string, waits bool, test func(t *testing.T)) {
		if !waits {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
			return
		}
		// Parallel tests are as many as there are processors. These only wait: together.
		waiting.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(name, test)
		})
	}
	for i := range cases {
		tested := &cases[i]
		if tested.ServerOnly() {
			serverOnly++
		} else {
			run(tested.ID+"/engine", tested.Waits(), func(t *testing.T) {
				t.Helper()
				engines.run(t, tested, requests)
			})
		}
		run(tested.ID+"/server", tested.Waits(), func(t *testing.T) {
			t.Helper()
			remote.run(t, tested, requests)
		})
	}
	waiting.Wait()
	t.Logf("%d cases: %d through engine and server, %d through the server only", len(cases), len(cases)-serverOnly, serverOnly)
}

// atOnce is how many cases wait for their timeout at the same time.
const atOnce = 6

// Every function of the host that takes a parameter is called with a wild one.
func TestEveryFunctionOfTheHostIsAbused(t *testing.T) {
	cases, err := Load(os.DirFS("cases"))
	if err != nil {
		t.Fatal(err)
	}
	abused := map[string]bool{}
	for _, tested := range cases {
		if tested.Policy != nil && tested.Policy.Guest != nil && tested.Policy.Guest.Calls != nil {
			calls := tested.Policy.Guest.Calls
			abused[calls.Function] = abused[calls.Function] || slices.Contains(calls.With, any(-1))
		}
	}
	for name, function := range hostFunctions() {
		if len(function.Params) > 0 && !abused[name] {
			t.Errorf("no case calls %s with -1", name)
		}
	}
}

// Every policy of this project stands in some case.
func TestEveryPolicyHasCases(t *testing.T) {
	cases, err := Load(os.DirFS("cases"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]int{}
	for _, tested := range cases {
		if tested.Policy != nil && tested.Want.Allowed != nil {
			used[tested.Policy.Module.Module]++
		}
	}
	root, err := build.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	names, err := build.Names(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if used[name] < 3 {
			t.Errorf("policy %s stands in %d cases, want at least 3: one that it accepts, one that it rejects, settings", name, used[name])
		}
	}
}

// engines answer without a server: one with an instance for each call, one with instances
// that are put back after each, and one with such that have answered before, where a policy
// can have these.
type engines struct{ fresh, pristine, warm *evaluation.Environment }

// run asks all. Their answers are what the case wants, and the same to the byte.
func (e engines) run(t *testing.T, tested *Case, requests fs.FS) {
	t.Helper()
	document := documentOf(t, tested, requests)
	request := requestOf(t, tested, document)
	want := ask(t, e.fresh, tested, request)
	for range 2 { // the second time finds an instance that was put back
		if diff := gocmp.Diff(want, ask(t, e.pristine, tested, request)); diff != "" {
			t.Errorf("-fresh +pristine\n%s", diff)
		}
		if tested.Waits() {
			return
		}
		if diff := gocmp.Diff(want, ask(t, e.warm, tested, request)); diff != "" {
			t.Errorf("-fresh +warm\n%s", diff)
		}
	}
}

// shuffled asks about all cases again and again, in random orders: whatever an engine was asked
// before, the answer is that of a fresh instance.
func (e engines) shuffled(t *testing.T, cases []Case, requests fs.FS) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	want := make([][]string, len(cases))
	for range 2 {
		for _, i := range random.Perm(len(cases)) {
			tested := &cases[i]
			if tested.ServerOnly() || tested.Waits() {
				continue
			}
			request := requestOf(t, tested, documentOf(t, tested, requests))
			if want[i] == nil {
				want[i] = ask(t, e.fresh, tested, request)
			}
			for name, environment := range map[string]*evaluation.Environment{"pristine": e.pristine, "warm": e.warm} {
				if diff := gocmp.Diff(want[i], ask(t, environment, tested, request)); diff != "" {
					t.Errorf("%s: -fresh +%s\n%s", tested.ID, name, diff)
				}
			}
		}
	}
}

// ask evaluates a case and returns the answers as they are, one after the other.
func ask(t *testing.T, environment *evaluation.Environment, tested *Case, request evaluation.Request) (answers []string) {
	t.Helper()
	for range tested.times() {
		response, err := environment.Evaluate(t.Context(), tested.target(), request)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, tested, fromResponse(t, response))
		if response.Revision != "" {
			response.Revision = "that of the entry"
		}
		encoded, err := json.Marshal(response)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, string(encoded))
	}
	response, err := environment.Evaluate(t.Context(), neighbour, request)
	if err != nil || !response.Allowed {
		t.Errorf("got %+v, %v from another policy afterwards, want an acceptance", response, err)
	}
	return answers
}

func requestOf(t *testing.T, tested *Case, document []byte) evaluation.Request {
	t.Helper()
	request := evaluation.Request{Origin: evaluation.OriginValidate, Document: document}
	var known struct {
		UID, Namespace, Operation string
		Object                    json.RawMessage
		Kind                      struct{ Kind string }
	}
	switch tested.EndpointPath() {
	case "validate_raw":
		request.Origin, request.Object = evaluation.OriginRaw, document
	case "audit":
		request.Origin = evaluation.OriginAudit
		fallthrough
	default:
		if err := json.Unmarshal(document, &known); err != nil {
			t.Fatal(err)
		}
		request.Object, request.UID, request.Namespace = known.Object, known.UID, known.Namespace
		request.Operation, request.Kind = known.Operation, known.Kind.Kind
	}
	return request
}

func (c *Case) times() int {
	if c.Again {
		return 2
	}
	return 1
}

// target is the ID that is asked.
func (c *Case) target() string {
	if c.Member != "" {
		return c.ID + "/" + c.Member
	}
	return c.ID
}

func fromResponse(t *testing.T, response evaluation.Response) Answer {
	t.Helper()
	got := Answer{Allowed: response.Allowed, Warnings: response.Warnings, AuditAnnotations: response.AuditAnnotations}
	if response.Patch != nil {
		if err := json.Unmarshal(response.Patch, &got.Patch); err != nil {
			t.Fatal(err)
		}
	}
	if response.Status == nil {
		return got
	}
	got.Message, got.Reason = response.Status.Message, response.Status.Reason
	if response.Status.Code != nil {
		got.Code = new(int(*response.Status.Code))
	}
	if response.Status.Details != nil {
		for _, cause := range response.Status.Details.Causes {
			got.Causes = append(got.Causes, Cause{Field: textOf(cause.Field), Reason: textOf(cause.Reason), Message: cause.Message})
		}
	}
	return got
}

func (r *remote) run(t *testing.T, tested *Case, requests fs.FS) {
	t.Helper()
	document := documentOf(t, tested, requests)
	for range tested.times() {
		r.ask(t, tested, document)
	}
	// Whatever that was, the server lives and others are answered.
	got := r.send(t, sent{http.MethodPost, "/validate_raw/" + neighbour, "application/json", []byte(`{"request":{}}`)})
	if want := `{"response":{"uid":"","allowed":true,"auditAnnotations":null,"warnings":null}}`; got.status != http.StatusOK || string(got.body) != want {
		t.Errorf("got status %d, %s from another policy afterwards, want %s", got.status, got.body, want)
	}
}

// sent is a request as it is sent; the content type "none" leaves the header out.
type sent struct {
	method, path, contentType string
	body                      []byte
}

// received is its answer.
type received struct {
	status int
	header http.Header
	body   []byte
}

func (r *remote) send(t *testing.T, what sent) received {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), what.method, "https://"+r.address+what.path, bytes.NewReader(what.body))
	if err != nil {
		t.Fatal(err)
	}
	if what.contentType != "none" {
		request.Header.Set("Content-Type", what.contentType)
	}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return received{response.StatusCode, response.Header, body}
}

func (r *remote) ask(t *testing.T, tested *Case, document json.RawMessage) {
	t.Helper()
	path := "/" + tested.EndpointPath() + "/" + strings.ReplaceAll(tested.target(), "/", "%2F")
	method, contentType := http.MethodPost, "application/json"
	if tested.HTTP != nil {
		path, method = cmp.Or(tested.HTTP.Path, path), cmp.Or(tested.HTTP.Method, method)
		contentType = cmp.Or(tested.HTTP.ContentType, contentType)
		if tested.HTTP.Query != "" {
			path += "?" + tested.HTTP.Query
		}
	}
	answered := r.send(t, sent{method, path, contentType, tested.Body(document)})
	if want := cmp.Or(tested.Want.Status, http.StatusOK); answered.status != want {
		t.Fatalf("got status %d, want %d; body %s", answered.status, want, answered.body)
	}
	wantRetry := ""
	if answered.status == http.StatusServiceUnavailable {
		wantRetry = "1"
	}
	if got := answered.header.Get("Retry-After"); got != wantRetry {
		t.Errorf("got Retry-After %q beside status %d, want %q", got, answered.status, wantRetry)
	}
	if got, want := answered.header.Get("Content-Type"), tested.Want.ContentType; want != "" && got != want {
		t.Errorf("got content type %q, want %q", got, want)
	}
	if tested.Want.Body != nil {
		if diff := gocmp.Diff(*tested.named(tested.Want.Body), string(answered.body)); diff != "" {
			t.Errorf("body; -want +got:\n%s", diff)
		}
		return
	}
	got, err := tested.DecodeAnswer(answered.body, uidOf(document))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, tested, got)
}

// uidOf is the uid of a request that has one: a raw one need not.
func uidOf(document json.RawMessage) string {
	var request struct {
		UID any `json:"uid"`
	}
	_ = json.Unmarshal(document, &request)
	uid, _ := request.UID.(string)
	return uid
}

func documentOf(t *testing.T, tested *Case, requests fs.FS) json.RawMessage {
	t.Helper()
	document, err := tested.Document(requests)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func compare(t *testing.T, tested *Case, got Answer) {
	t.Helper()
	// YAML's whole numbers are int, JSON's float64.
	numbers := gocmp.FilterValues(func(a, b any) bool { return isNumber(a) && isNumber(b) },
		gocmp.Comparer(func(a, b any) bool { return asFloat(a) == asFloat(b) }))
	if diff := gocmp.Diff(tested.Expected(got), got, cmpopts.EquateEmpty(), numbers); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func isNumber(value any) bool {
	switch value.(type) {
	case int, float64:
		return true
	default:
		return false
	}
}

func asFloat(value any) float64 {
	if whole, is := value.(int); is {
		return float64(whole)
	}
	fraction, _ := value.(float64)
	return fraction
}
