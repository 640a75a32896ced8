package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// pod is a request for a Pod with one container of that security context.
func pod(securityContext string) guest.Request {
	return guest.Request{
		Kind:   guest.Kind{Kind: "Pod"},
		Object: document.MustRead(`{"spec":{"containers":[{"name":"a"` + securityContext + `}],"priority":1.50}}`),
	}
}

func capabilities(list string) string { return `,"securityContext":{"capabilities":` + list + `}` }

func TestValidate(t *testing.T) {
	changed := func(securityContext string) guest.Response {
		return guest.Mutate([]byte(pod(securityContext).Object.JSON()))
	}
	tests := map[string]struct {
		settings string
		context  string
		want     guest.Response
	}{
		"no settings":           {want: guest.Accept()},
		"dropped":               {settings: `{"required_drop_capabilities":["NET_ADMIN","KILL"]}`, want: changed(capabilities(`{"drop":["NET_ADMIN","KILL"]}`))},
		"dropped beside others": {settings: `{"required_drop_capabilities":["KILL"]}`, context: capabilities(`{"drop":["CHOWN"]}`), want: changed(capabilities(`{"drop":["CHOWN","KILL"]}`))},
		"dropped already":       {settings: `{"required_drop_capabilities":["KILL"]}`, context: capabilities(`{"drop":["kill"]}`), want: guest.Accept()},
		"all dropped already":   {settings: `{"required_drop_capabilities":["KILL"],"default_add_capabilities":["CHOWN"]}`, context: capabilities(`{"drop":["ALL"]}`), want: guest.Accept()},
		"the context stays":     {settings: `{"required_drop_capabilities":["ALL"]}`, context: `,"securityContext":{"runAsUser":1000}`, want: changed(`,"securityContext":{"runAsUser":1000,"capabilities":{"drop":["ALL"]}}`)},
		"beside null": {
			settings: `{"required_drop_capabilities":["ALL"],"default_add_capabilities":["CHOWN"]}`, context: `, "securityContext": null`,
			want: changed(`, "securityContext": {"capabilities":{"drop":["ALL"],"add":["CHOWN"]}}`),
		},
		"beside what is not known": {
			settings: `{"required_drop_capabilities":["ALL"],"default_add_capabilities":["CHOWN"]}`, context: capabilities(`{ "add" : null, "new":[1.0] }`),
			want: changed(capabilities(`{ "add" : ["CHOWN"], "new":[1.0] ,"drop":["ALL"]}`)),
		},
		"added by default":           {settings: `{"default_add_capabilities":["chown"]}`, want: changed(capabilities(`{"add":["CHOWN"]}`))},
		"not added where dropped":    {settings: `{"default_add_capabilities":["CHOWN"]}`, context: capabilities(`{"drop":["CHOWN"]}`), want: guest.Accept()},
		"adding what is allowed":     {settings: `{"allowed_capabilities":["CHOWN"]}`, context: capabilities(`{"add":["CHOWN"]}`), want: guest.Accept()},
		"adding anything":            {settings: `{"allowed_capabilities":["*"]}`, context: capabilities(`{"add":["SYS_TIME"]}`), want: guest.Accept()},
		"adding what is not allowed": {context: capabilities(`{"add":["sys_time"]}`), want: guest.Reject(`container "a" adds capability sys_time, which is not allowed`)},
		"adding what is dropped": {
			settings: `{"required_drop_capabilities":["SYS_TIME"],"allowed_capabilities":["*"]}`, context: capabilities(`{"add":["SYS_TIME"]}`),
			want: guest.Reject(`container "a" adds capability SYS_TIME, which has to be dropped`),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			request := pod(tc.context)
			request.Settings = document.MustRead(tc.settings)
			got, err := validate(request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestValidateElsewhere(t *testing.T) {
	tests := map[string]struct {
		kind   guest.Kind
		object string
		want   guest.Response
	}{
		"init containers of a CronJob": {
			guest.Kind{Group: "batch", Kind: "CronJob"}, `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"initContainers":[{"name":"a"}]}}}}}}`,
			guest.Mutate([]byte(`{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"initContainers":[{"name":"a","securityContext":{"capabilities":{"drop":["ALL"]}}}]}}}}}}`)),
		},
		"Windows":            {guest.Kind{Kind: "Pod"}, `{"spec":{"os":{"name":"windows"},"containers":[{"name":"a"}]}}`, guest.Accept()},
		"no containers":      {guest.Kind{Kind: "Pod"}, `{"spec":{"containers":null}}`, guest.Accept()},
		"a kind without any": {guest.Kind{Kind: "ConfigMap"}, `{"spec":1}`, guest.Accept()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := validate(guest.Request{
				Kind: tc.kind, Object: document.MustRead(tc.object), Settings: document.MustRead(`{"required_drop_capabilities":["ALL"]}`),
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestValidateChangesEachContainer(t *testing.T) {
	got, err := validate(guest.Request{
		Kind: guest.Kind{Kind: "Pod"}, Settings: document.MustRead(`{"required_drop_capabilities":["ALL"]}`),
		Object: document.MustRead(` {"spec":{"containers":[{},{"securityContext":{"capabilities":{"drop":["all"]}}},{"name":"c","securityContext":{}}],"initContainers":[{"name":"d"}]}}`),
	})
	want := guest.Mutate([]byte(`{"spec":{"containers":[{"securityContext":{"capabilities":{"drop":["ALL"]}}},{"securityContext":{"capabilities":{"drop":["all"]}}},` +
		`{"name":"c","securityContext":{"capabilities":{"drop":["ALL"]}}}],"initContainers":[{"name":"d","securityContext":{"capabilities":{"drop":["ALL"]}}}]}}`))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
}

// A Pod that cannot be read is not let through.
func TestValidateFailsClosed(t *testing.T) {
	for object, want := range map[string]string{
		`[]`:                              "decode Pod: got [], want an object",
		`{"spec":[]}`:                     "decode Pod: spec: got [], want an object",
		`{"spec":{"os":1}}`:               "decode Pod: spec: os: got 1, want an object",
		`{"spec":{"containers":{}}}`:      "decode Pod: containers: got {}, want a list",
		`{"spec":{"initContainers":[1]}}`: "decode Pod: initContainers[0]: got 1, want an object",
		`{"spec":{"containers":[{"securityContext":1}]}}`:                             "decode Pod: containers[0]: securityContext: got 1, want an object",
		`{"spec":{"containers":[{"securityContext":{"capabilities":[]}}]}}`:           "decode Pod: containers[0]: securityContext: capabilities: got [], want an object",
		`{"spec":{"containers":[{"securityContext":{"capabilities":{"add":"A"}}}]}}`:  "decode Pod: containers[0]: securityContext: capabilities: add: got \"A\", want a list",
		`{"spec":{"containers":[{"securityContext":{"capabilities":{"drop":[1]}}}]}}`: "decode Pod: containers[0]: securityContext: capabilities: drop[0]: got 1, want a string",
	} {
		_, err := validate(guest.Request{Kind: guest.Kind{Kind: "Pod"}, Object: document.MustRead(object)})
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", object, err, want)
		}
	}
	_, err := validate(guest.Request{Settings: document.MustRead(`{"x":1}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "invalid settings: ") {
		t.Errorf("got %v, want an error about the settings", err)
	}
}

func TestValidateSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{}`: "",
		`{"allowed_capabilities":["*"],"required_drop_capabilities":["ALL"],"default_add_capabilities":["net_raw"]}`: "",
		`{"required_drop_capabilities":["CAP_KILL"]}`:                                                                `required_drop_capabilities[0]: "CAP_KILL" begins with CAP_, which Kubernetes leaves out`,
		`{"required_drop_capabilities":["KILL","*"]}`:                                                                `required_drop_capabilities[1]: "*" is not a capability, want a name such as NET_ADMIN`,
		`{"default_add_capabilities":[""]}`:                                                                          `default_add_capabilities[0]: "" is not a capability, want a name such as NET_ADMIN`,
		`{"required_drop_capabilities":["KILL"],"allowed_capabilities":["kill"]}`:                                    `capability "KILL" is in required_drop_capabilities and in allowed_capabilities`,
		`{"required_drop_capabilities":["KILL"],"default_add_capabilities":["CHOWN","KILL"]}`:                        `capability "KILL" is in required_drop_capabilities and in default_add_capabilities`,
		`{"drop":["KILL"]}`: `unknown setting "drop", allowed are: allowed_capabilities, required_drop_capabilities, default_add_capabilities`,
	} {
		got := ""
		if err := validateSettings(document.MustRead(settings)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", settings, got, want)
		}
	}
}
