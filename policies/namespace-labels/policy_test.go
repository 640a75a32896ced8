package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// shop is a host that knows one Namespace with an annotation, and nothing else.
func shop(annotation, value string) guest.Host {
	return func(namespace, operation string, payload []byte) ([]byte, error) {
		const want = `{"api_version":"v1","kind":"Namespace","name":"shop","disable_cache":false,"field_masks":["metadata.annotations"]}`
		if namespace+"/"+operation != "kubernetes/get_resource" || string(payload) != want {
			return nil, fmt.Errorf("got %s/%s %s", namespace, operation, payload)
		}
		return json.Marshal(map[string]any{"metadata": map[string]any{"name": "shop", "annotations": map[string]string{annotation: value}}})
	}
}

func request(operation, kind, object, before string) guest.Request {
	return guest.Request{
		Document:  document.MustRead(fmt.Sprintf(`{"namespace":"shop","oldObject":%s}`, before)),
		Kind:      guest.Kind{Kind: kind},
		Operation: operation,
		Object:    document.MustRead(object),
	}
}

func TestValidate(t *testing.T) {
	const (
		none     = `{"metadata":{"name":"a"}}`
		team     = `{"metadata":{"labels":{"team":"a"}}}`
		both     = `{"metadata":{"labels":{"team":"a","cost-centre":"7"}}}`
		template = `{"metadata":{"labels":{"team":"a","cost-centre":"7"}},"spec":{"template":` + team + `}}`
		refusal  = `Namespace "shop" demands of Pods the labels that are missing: `
	)
	for name, tc := range map[string]struct {
		demand  string
		request guest.Request
		want    guest.Response
	}{
		"no demand":                            {"", request("CREATE", "Pod", none, "null"), guest.Accept()},
		"an empty demand":                      {" , ", request("CREATE", "Pod", none, "null"), guest.Accept()},
		"all that is demanded":                 {"team,cost-centre", request("CREATE", "Pod", both, "null"), guest.Accept()},
		"one is missing":                       {"team,cost-centre", request("CREATE", "Pod", team, "null"), guest.Reject(refusal + "cost-centre")},
		"all are missing":                      {" team , cost-centre,team", request("CREATE", "Pod", none, "null"), guest.Reject(refusal + "cost-centre, team")},
		"a template without":                   {"team,cost-centre", request("CREATE", "Deployment", template, "null"), guest.Reject(refusal + "cost-centre")},
		"what runs no Pods":                    {"team", request("CREATE", "ConfigMap", none, "null"), guest.Accept()},
		"a deletion":                           {"team", guest.Request{Kind: guest.Kind{Kind: "Pod"}, Operation: "DELETE"}, guest.Accept()},
		"an update takes a label away":         {"team,cost-centre", request("UPDATE", "Pod", team, both), guest.Reject(refusal + "cost-centre")},
		"an update of what never had it":       {"team,cost-centre", request("UPDATE", "Pod", team, team), guest.Accept()},
		"an update of a template takes it":     {"team,cost-centre", request("UPDATE", "Deployment", template, `{"spec":{"template":`+both+`}}`), guest.Reject(refusal + "cost-centre")},
		"a creation that says what was before": {"team,cost-centre", request("CREATE", "Pod", team, team), guest.Reject(refusal + "cost-centre")},
		"a demand that is no key": {"team,cost centre", request("CREATE", "Pod", both, "null"), guest.Reject(
			`annotation required-labels.kubewarden.io/keys of Namespace "shop": "cost centre" is not the key of a label: want a name of at most ` +
				`63 letters, digits, '-', '_' and '.', which may follow a DNS subdomain and '/'`)},
	} {
		t.Run(name, func(t *testing.T) {
			tc.request.Host = shop(defaultAnnotation, tc.demand)
			got, err := validate(tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestValidateReadsAnotherAnnotation(t *testing.T) {
	asked := request("CREATE", "Pod", `{}`, "null")
	asked.Settings, asked.Host = document.MustRead(`{"annotation":"shop.example/labels"}`), shop("shop.example/labels", "team")
	got, err := validate(asked)
	if err != nil || got.Accepted {
		t.Errorf("got %+v, %v, want a refusal", got, err)
	}
	asked.Host = shop(defaultAnnotation, "team")
	if got, err := validate(asked); err != nil || !got.Accepted {
		t.Errorf("got %+v, %v, want it accepted", got, err)
	}
}

func TestValidateFailsClosed(t *testing.T) {
	refusing := func(string, string, []byte) ([]byte, error) { return nil, errors.New("not granted") }
	for want, tc := range map[string]struct {
		host    guest.Host
		request guest.Request
	}{
		`read Namespace "shop": ask kubernetes/get_resource: not granted`:    {refusing, request("CREATE", "Pod", `{}`, "null")},
		"decode Pod: metadata: labels: got [], want an object":               {shop(defaultAnnotation, "a"), request("CREATE", "Pod", `{"metadata":{"labels":[]}}`, "null")},
		"decode Pod: oldObject: metadata: got 1, want an object":             {shop(defaultAnnotation, "a"), request("UPDATE", "Pod", `{}`, `{"metadata":1}`)},
		"decode Pod: oldObject: got nothing, want an object":                 {shop(defaultAnnotation, "a"), request("UPDATE", "Pod", `{}`, `null`)},
		"namespace: got 1, want a string":                                    {shop(defaultAnnotation, "a"), guest.Request{Kind: guest.Kind{Kind: "Pod"}, Document: document.MustRead(`{"namespace":1}`), Object: document.MustRead(`{}`)}},
		`invalid settings: unknown setting "key", allowed are: annotation`:   {nil, guest.Request{Settings: document.MustRead(`{"key":"a"}`)}},
		`read Namespace "shop": ask kubernetes/get_resource: there is no ho`: {nil, request("CREATE", "Pod", `{}`, "null")},
	} {
		tc.request.Host = tc.host
		_, err := validate(tc.request)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want an error that begins with %s", err, want)
		}
	}
}

func TestValidateSettings(t *testing.T) {
	for settings, want := range map[string]string{
		``:                                 "",
		`{"annotation":"shop.example/ls"}`: "",
		`{"annotation":"a b"}`:             `setting "annotation": "a b" is not the key of an annotation: want`,
		`{"annotation":""}`:                `setting "annotation": "" is not the key of an annotation: want`,
		`{"annotation":["a"]}`:             `setting "annotation": got ["a"], want a string`,
		`{"key":"a"}`:                      `unknown setting "key", allowed are: annotation`,
	} {
		got := ""
		if err := validateSettings(document.MustRead(settings)); err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", settings, got, want)
		}
	}
}
