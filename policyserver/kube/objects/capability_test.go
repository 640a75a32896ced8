package objects

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

var (
	pods       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// cluster imitates an API server with a namespace, two Pods and nothing else.
type cluster struct {
	objects *dynamicfake.FakeDynamicClient
	typed   *fake.Clientset
	*Capability
}

func pod(namespace, name string, labels map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{
			"name": name, "namespace": namespace, "labels": labels, "managedFields": []any{map[string]any{"manager": "kubectl"}},
			"annotations": map[string]any{annotationApplied: "{}", "kept": "yes"},
		},
		"spec": map[string]any{"nodeName": "n", "containers": []any{map[string]any{"name": "c", "image": "i"}}},
	}}
}

func newCluster(t *testing.T, now func() time.Time) *cluster {
	t.Helper()
	return newClusterWithin(t, nil, now)
}

// newClusterWithin keeps no more of the cluster than a budget allows.
func newClusterWithin(t *testing.T, budget *memory.Budget, now func() time.Time) *cluster {
	t.Helper()
	team := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "team"}}}
	c := &cluster{
		objects: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[schema.GroupVersionResource]string{pods: "PodList", namespaces: "NamespaceList"},
			team, pod("team", "b", map[string]any{"app": "b"}), pod("other", "a", map[string]any{"app": "a"})),
		typed: fake.NewClientset(),
	}
	c.typed.Resources = []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: []metav1.APIResource{
		{Name: "pods/log", Kind: "Pod", Namespaced: true}, {Name: "pods", Kind: "Pod", Namespaced: true}, {Name: "namespaces", Kind: "Namespace"},
	}}}
	c.typed.PrependReactor("create", "subjectaccessreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authorizationv1.SubjectAccessReview{}, nil
	})
	if now == nil {
		now = time.Now
	}
	c.Capability = New(Config{
		Clients: &Clients{Dynamic: c.objects, Discovery: c.typed.Discovery(), Reviews: c.typed},
		Memory:  budget, Logger: slog.New(slog.DiscardHandler), Now: now,
	})
	t.Cleanup(c.Close)
	return c
}

// forbid has the account lack a right.
func (c *cluster) forbid(verb, resource string) {
	c.objects.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no role allows it"))
	})
}

// asking is what a policy of a trust domain asks.
type asking struct{ domain, operation, payload string }

// as asks on behalf of a policy that may read some kinds of "v1".
func (c *cluster) as(t *testing.T, a asking, kinds ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answer, err := c.Call(ctx, host.Request{PolicyID: "p", Domain: a.domain, Operation: a.operation, Payload: []byte(a.payload), Grants: granted(t, kinds...)})
	return string(answer), err
}

func granted(t *testing.T, kinds ...string) host.Grants {
	t.Helper()
	resources := make([]host.Resource, 0, len(kinds))
	for _, kind := range kinds {
		resources = append(resources, host.Resource{APIVersion: "v1", Kind: kind})
	}
	grants, err := host.NewGrants([]string{"kubernetes/*"}, resources)
	if err != nil {
		t.Fatal(err)
	}
	return grants
}

// Objects as lists have them.
const (
	jsonA = `{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"kept":"yes"},"labels":{"app":"a"},"name":"a","namespace":"other"},"spec":{"containers":[{"image":"i","name":"c"}],"nodeName":"n"}}`
	jsonB = `{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"kept":"yes"},"labels":{"app":"b"},"name":"b","namespace":"team"},"spec":{"containers":[{"image":"i","name":"c"}],"nodeName":"n"}}`
)

func podList(items ...string) string {
	return `{"apiVersion":"v1","kind":"PodList","metadata":{},"items":[` + strings.Join(items, ",") + `]}`
}

func TestList(t *testing.T) {
	c := newCluster(t, nil)
	masked := strings.Replace(jsonB, `,"name":"c"}],"nodeName":"n"`, `}]`, 1)
	for name, tc := range map[string]struct{ operation, payload, want, wantErr string }{
		"everything":                    {operationListAll, `{"api_version":"v1","kind":"Pod"}`, podList(jsonA, jsonB), ""},
		"a namespace":                   {operationList, `{"api_version":"v1","kind":"Pod","namespace":"team"}`, podList(jsonB), ""},
		"a namespace that is empty":     {operationList, `{"api_version":"v1","kind":"Pod","namespace":"empty"}`, podList(), ""},
		"a label":                       {operationListAll, `{"api_version":"v1","kind":"Pod","label_selector":"app in (a)"}`, podList(jsonA), ""},
		"a name":                        {operationListAll, `{"api_version":"v1","kind":"Pod","field_selector":"metadata.name=b"}`, podList(jsonB), ""},
		"a field that only it knows":    {operationListAll, `{"api_version":"v1","kind":"Pod","field_selector":"spec.nodeName=n","label_selector":"app=b"}`, podList(jsonB), ""},
		"some fields":                   {operationListAll, `{"api_version":"v1","kind":"Pod","label_selector":"app=b","field_masks":["spec.containers.image","spec"]}`, podList(masked), ""},
		"null for what is not asked":    {operationListAll, `{"api_version":"v1","kind":"Pod","label_selector":null,"field_selector":null,"field_masks":null}`, podList(jsonA, jsonB), ""},
		"no kind":                       {operationListAll, `{"api_version":"v1"}`, "", "kind is missing; want a kind, such as Pod"},
		"no version":                    {operationListAll, `{"kind":"Pod"}`, "", "api_version is missing; want a group and a version, such as apps/v1, or v1"},
		"no namespace":                  {operationList, `{"api_version":"v1","kind":"Pod"}`, "", "namespace is missing; want the name of a namespace"},
		"labels that are none":          {operationListAll, `{"api_version":"v1","kind":"Pod","label_selector":"a in"}`, "", `label_selector is "a in": `},
		"fields that are none":          {operationListAll, `{"api_version":"v1","kind":"Pod","field_selector":"a"}`, "", `field_selector is "a": `},
		"no JSON":                       {operationListAll, `{`, "", "decode payload: "},
		"a kind that is not granted":    {operationListAll, `{"api_version":"v1","kind":"Secret"}`, "", "Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported."},
		"a kind that there is not":      {operationListAll, `{"api_version":"v1","kind":"Lamp"}`, "", "Cannot find resource v1/Lamp"},
		"a namespace of what is not in": {operationList, `{"api_version":"v1","kind":"Namespace","namespace":"team"}`, "", "resource v1/Namespace is cluster wide. Cannot search for it inside of a namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time from what is kept
				got, err := c.as(t, asking{"", tc.operation, tc.payload}, "Pod", "Namespace", "Lamp")
				checkAnswer(t, got, err, expected{tc.want, tc.wantErr})
			}
		})
	}
}

// expected is an answer, or else how an error begins.
type expected struct{ answer, err string }

func checkAnswer(t *testing.T, got string, err error, want expected) {
	t.Helper()
	if want.err == "" && err != nil || want.err != "" && (err == nil || !strings.HasPrefix(err.Error(), want.err)) {
		t.Errorf("got error %v, want %q", err, want.err)
	}
	if got != want.answer {
		t.Errorf("got  %s\nwant %s", got, want.answer)
	}
}

// What lies outside the namespace of a policy is refused before anybody is asked.
func TestScopeOfANamespace(t *testing.T) {
	c := newCluster(t, nil)
	const outside = "Policy has not been granted access to Kubernetes v1/%s resources. The violation has been reported. It asked about "
	for name, tc := range map[string]struct{ operation, payload, wantErr string }{
		"everything":                        {operationListAll, `{"api_version":"v1","kind":"Pod"}`, strings.Replace(outside, "%s", "Pod", 1) + "the whole cluster"},
		"another namespace":                 {operationList, `{"api_version":"v1","kind":"Pod","namespace":"other"}`, strings.Replace(outside, "%s", "Pod", 1) + "namespace 'other'"},
		"an object of another":              {operationGet, `{"api_version":"v1","kind":"Pod","namespace":"other","name":"a","disable_cache":false}`, strings.Replace(outside, "%s", "Pod", 1) + "namespace 'other'"},
		"an object that is in no namespace": {operationGet, `{"api_version":"v1","kind":"Namespace","namespace":"team","name":"team","disable_cache":false}`, strings.Replace(outside, "%s", "Namespace", 1) + "the whole cluster"},
		"who may do what in another":        {operationCanI, `{"subject_access_review":{"user":"u","resource_attributes":{"verb":"get","resource":"pods","namespace":"other"}},"disable_cache":false}`, "Policy has not been granted access to reviews of access. The violation has been reported. It asked about namespace 'other'"},
		"who may do what everywhere":        {operationCanI, `{"subject_access_review":{"user":"u","resource_attributes":{"verb":"get","resource":"pods"}},"disable_cache":false}`, "Policy has not been granted access to reviews of access. The violation has been reported. It asked about the whole cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.as(t, asking{"team", tc.operation, tc.payload}, "Pod", "Namespace")
			checkAnswer(t, got, err, expected{"", tc.wantErr})
		})
	}
	got, err := c.as(t, asking{"team", operationList, `{"api_version":"v1","kind":"Pod","namespace":"team"}`}, "Pod")
	checkAnswer(t, got, err, expected{podList(jsonB), ""})
}

// Lists follow the cluster.
func TestListFollows(t *testing.T) {
	c := newCluster(t, nil)
	// What happens between a list and a watch, a real API server tells, and this one does not.
	following := make(chan struct{})
	tellFollowing := sync.OnceFunc(func() { close(following) })
	c.objects.PrependWatchReactor("pods", func(clienttesting.Action) (bool, watch.Interface, error) {
		defer tellFollowing()
		begun, err := c.objects.Tracker().Watch(pods, "")
		return true, begun, err
	})
	const payload = `{"api_version":"v1","kind":"Pod","namespace":"team"}`
	got, err := c.as(t, asking{"", operationList, payload}, "Pod")
	checkAnswer(t, got, err, expected{podList(jsonB), ""})
	select {
	case <-following:
	case <-time.After(time.Minute):
		t.Fatal("nobody watches")
	}
	if err := c.objects.Tracker().Delete(pods, "team", "b"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for got != podList() && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
		got, err = c.as(t, asking{"", operationList, payload}, "Pod")
	}
	checkAnswer(t, got, err, expected{podList(), ""})
	if usage := c.Usage(); len(usage) != 1 || usage[0].Kind != "Pod" || usage[0].Objects != 1 || usage[0].Bytes < len(jsonA) {
		t.Errorf("got usage %+v, want that of one Pod", usage)
	}
}

// A right that is missing is an error at once, for all who wait, and it is named.
func TestListWithoutTheRight(t *testing.T) {
	c := newCluster(t, nil)
	c.forbid("list", "pods")
	for range 2 {
		got, err := c.as(t, asking{"", operationListAll, `{"api_version":"v1","kind":"Pod"}`}, "Pod")
		checkAnswer(t, got, err, expected{"", `the account of the policy server lacks the right to list and watch pods (apiGroup ""): pods is forbidden`})
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the error came when the time was up, want it at once")
		}
	}
	c.forbid("get", "pods")
	got, err := c.as(t, asking{"", operationGet, `{"api_version":"v1","kind":"Pod","namespace":"team","name":"b","disable_cache":true}`}, "Pod")
	checkAnswer(t, got, err, expected{"", `the account of the policy server lacks the right to get pods (apiGroup ""): pods is forbidden`})
}

// An API server that is away for a moment is waited for, until the time is up.
func TestListWaits(t *testing.T) {
	c := newCluster(t, nil)
	c.objects.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("later")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Call(ctx, host.Request{Operation: operationListAll, Payload: []byte(`{"api_version":"v1","kind":"Pod"}`), Grants: granted(t, "Pod")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is up", err)
	}
}

// Nothing is watched for long that nobody asks for.
func TestWatchesExpire(t *testing.T) {
	now := time.Unix(0, 0)
	c := newCluster(t, func() time.Time { return now })
	if _, err := c.as(t, asking{"", operationListAll, `{"api_version":"v1","kind":"Pod"}`}, "Pod"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(defaultUnused + time.Second)
	if _, err := c.as(t, asking{"", operationListAll, `{"api_version":"v1","kind":"Namespace"}`}, "Namespace"); err != nil {
		t.Fatal(err)
	}
	if usage := c.Usage(); len(usage) != 1 || usage[0].Kind != "Namespace" {
		t.Errorf("got %+v, want Namespaces alone", usage)
	}
}

func TestGet(t *testing.T) {
	c := newCluster(t, nil)
	whole, err := json.Marshal(pod("team", "b", map[string]any{"app": "b"}).Object)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ payload, want, wantErr string }{
		"an object":               {`{"api_version":"v1","kind":"Pod","namespace":"team","name":"b","disable_cache":false}`, string(whole), ""},
		"one of no namespace":     {`{"api_version":"v1","kind":"Namespace","name":"team","namespace":"x","disable_cache":true}`, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}`, ""},
		"some fields":             {`{"api_version":"v1","kind":"Pod","namespace":"team","name":"b","disable_cache":false,"field_masks":["spec.nodeName"]}`, strings.Replace(string(whole), `"containers":[{"image":"i","name":"c"}],`, "", 1), ""},
		"one that there is none":  {`{"api_version":"v1","kind":"Pod","namespace":"team","name":"x","disable_cache":false}`, "", `Cannot find v1/Pod named 'x' inside of namespace 'Some("team")'`},
		"none, in no namespace":   {`{"api_version":"v1","kind":"Namespace","name":"x","disable_cache":false}`, "", `Cannot find v1/Namespace named 'x' inside of namespace 'None'`},
		"no namespace":            {`{"api_version":"v1","kind":"Pod","name":"b","disable_cache":false}`, "", "Resource v1/Pod is namespaced, but no namespace was provided"},
		"no name":                 {`{"api_version":"v1","kind":"Pod","namespace":"team","disable_cache":false}`, "", "name is missing; want the name of an object"},
		"no word about the cache": {`{"api_version":"v1","kind":"Pod","namespace":"team","name":"b"}`, "", "disable_cache is missing; want true or false"},
		"a kind not granted":      {`{"api_version":"v1","kind":"Secret","namespace":"team","name":"b","disable_cache":false}`, "", "Policy has not been granted access to Kubernetes v1/Secret resources."},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.as(t, asking{"", operationGet, tc.payload}, "Pod", "Namespace")
			checkAnswer(t, got, err, expected{tc.want, tc.wantErr})
		})
	}
}

// Objects and reviews are kept for five seconds, unless a policy wants them fresh.
func TestAnswersAreKept(t *testing.T) {
	now := time.Unix(0, 0)
	c := newCluster(t, func() time.Time { return now })
	for name, payload := range map[string]string{
		operationGet:  `{"api_version":"v1","kind":"Pod","namespace":"team","name":"b","disable_cache":`,
		operationCanI: `{"subject_access_review":{"user":"u","resource_attributes":{"verb":"get","resource":"pods"}},"disable_cache":`,
	} {
		asked := func() int { return len(c.objects.Actions()) + reviewsOf(c) }
		before := asked()
		for step, want := range []int{1, 1, 2, 2, 3} {
			disable := "false}"
			if step == 2 {
				disable = "true}"
			}
			if step == 4 {
				now = now.Add(answerTTL)
			}
			if _, err := c.as(t, asking{"", name, payload + disable}, "Pod"); err != nil {
				t.Fatal(err)
			}
			if got := asked() - before; got != want {
				t.Errorf("%s: the API server was asked %d times after step %d, want %d", name, got, step, want)
			}
		}
	}
}

func reviewsOf(c *cluster) (count int) {
	for _, action := range c.typed.Actions() {
		if action.GetResource().Resource == "subjectaccessreviews" {
			count++
		}
	}
	return count
}

func TestCanI(t *testing.T) {
	c := newCluster(t, nil)
	var asked *authorizationv1.SubjectAccessReview
	c.typed.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create, _ := action.(clienttesting.CreateAction)
		asked, _ = create.GetObject().DeepCopyObject().(*authorizationv1.SubjectAccessReview)
		asked.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "by a role"}
		return true, asked, nil
	})
	got, err := c.as(t, asking{"team", operationCanI, `{"subject_access_review":{"user":"u","groups":["g"],"resource_attributes":` +
		`{"verb":"get","resource":"pods","group":"x","name":"n","namespace":"team","subresource":"log","version":"v1"}},"disable_cache":true}`})
	checkAnswer(t, got, err, expected{`{"allowed":true,"reason":"by a role"}`, ""})
	want := authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Group: "x", Name: "n", Namespace: "team", Subresource: "log", Version: "v1"}
	if asked == nil || asked.Spec.User != "u" || len(asked.Spec.Groups) != 1 || *asked.Spec.ResourceAttributes != want {
		t.Errorf("got %+v, want what was asked", asked)
	}
	for payload, want := range map[string]string{
		`{"disable_cache":true}`: "subject_access_review is missing",
		`{"subject_access_review":{"user":"","resource_attributes":{}},"disable_cache":true}`:              "subject_access_review.user is missing",
		`{"subject_access_review":{"user":"u"},"disable_cache":true}`:                                      "subject_access_review.resource_attributes is missing",
		`{"subject_access_review":{"user":"u","resource_attributes":{"verb":"get"}},"disable_cache":true}`: "subject_access_review.resource_attributes: verb or resource is missing",
		`{"subject_access_review":{"user":"u","resource_attributes":{"verb":"get","resource":"pods"}}}`:    "disable_cache is missing",
		`{"subject_access_review":{"user":1}}`:                                                             "decode payload: ",
	} {
		got, err := c.as(t, asking{"", operationCanI, payload})
		checkAnswer(t, got, err, expected{"", want})
	}
}

func (c *cluster) inventory(t *testing.T, form host.Form, kinds ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	document, err := c.Inventory(ctx, host.Request{Grants: granted(t, kinds...)}, form)
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

func TestInventory(t *testing.T) {
	c := newCluster(t, nil)
	const team = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}`
	for form, want := range map[host.Form]string{
		host.FormOPA: `{"namespaces":{"team":` + team + `},"pods":{"other":{"a":` + jsonA + `},"team":{"b":` + jsonB + `}}}`,
		host.FormGatekeeper: `{"cluster":{"v1":{"Namespace":{"team":` + team + `}}},"namespace":{"other":{"v1":{"Pod":{"a":` + jsonA +
			`}}},"team":{"v1":{"Pod":{"b":` + jsonB + `}}}}}`,
	} {
		first := c.inventory(t, form, "Pod", "Namespace")
		if first != want {
			t.Errorf("%s: got  %s\nwant %s", form, first, want)
		}
		if got := c.inventory(t, form, "Pod"); strings.Contains(got, "Namespace") {
			t.Errorf("%s: got %s, want Pods alone", form, got)
		}
	}
	_, err := c.Inventory(t.Context(), host.Request{Domain: "team", Grants: granted(t, "Pod")}, host.FormOPA)
	if err == nil || !strings.Contains(err.Error(), "It asked about the whole cluster") {
		t.Errorf("got %v for the policy of a namespace", err)
	}
}

// Whatever a guest sends, it is answered or refused.
func FuzzPayloads(f *testing.F) {
	for _, seed := range []string{
		`{"api_version":"v1","kind":"Pod","namespace":"x","label_selector":"a=b","field_selector":"metadata.name=a","field_masks":["a.b",".."]}`,
		`{"api_version":"v1","kind":"Pod","name":"x","disable_cache":true}`, `null`, `{"subject_access_review":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if asked, err := decodeList(payload, false); err == nil {
			if _, err := asked.answer([]item{{name: "a", raw: []byte(jsonA)}}); err != nil {
				t.Errorf("%q: %v", payload, err)
			}
		}
		if asked, err := decodeGet(payload); err == nil && (asked.Name == "" || asked.DisableCache == nil) {
			t.Errorf("%q was taken", payload)
		}
		if spec, _, err := decodeCanI(payload); err == nil && spec.ResourceAttributes == nil {
			t.Errorf("%q was taken", payload)
		}
	})
}
