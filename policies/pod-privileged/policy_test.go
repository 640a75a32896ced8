package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

const (
	privileged = `{"name":"a","securityContext":{"privileged":true}}`
	plain      = `{"name":"b","securityContext":{"runAsNonRoot":true}}`
)

// objectOf puts a Pod's specification where the kind keeps it.
func objectOf(kind, podSpec string) document.Value {
	template := `{"metadata":{},"spec":` + podSpec + `}`
	switch kind {
	case "Pod":
		return document.MustRead(template)
	case "CronJob":
		return document.MustRead(`{"spec":{"jobTemplate":{"spec":{"template":` + template + `}}}}`)
	default:
		return document.MustRead(`{"spec":{"template":` + template + `}}`)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		kind     guest.Kind
		podSpec  string
		settings string
		want     guest.Response
	}{
		"a privileged container":             {podSpec: `{"containers":[` + plain + `,` + privileged + `]}`, want: guest.Reject(rejection)},
		"a plain one behind it":              {podSpec: `{"containers":[` + privileged + `,` + plain + `]}`, want: guest.Reject(rejection)},
		"plain containers":                   {podSpec: `{"containers":[` + plain + `]}`, want: guest.Accept()},
		"privileged: false":                  {podSpec: `{"containers":[{"securityContext":{"privileged":false}}]}`, want: guest.Accept()},
		"null where an object could be":      {podSpec: `{"containers":[{"securityContext":null}],"initContainers":null}`, want: guest.Accept()},
		"a privileged init container":        {podSpec: `{"containers":[],"initContainers":[` + privileged + `]}`, want: guest.Reject(rejection)},
		"init containers are not looked at":  {podSpec: `{"initContainers":[` + privileged + `]}`, settings: `{"skip_init_containers":true}`, want: guest.Accept()},
		"a privileged ephemeral container":   {podSpec: `{"ephemeralContainers":[` + privileged + `]}`, settings: `{"skip_init_containers":true}`, want: guest.Reject(rejection)},
		"ephemeral ones are not looked at":   {podSpec: `{"ephemeralContainers":[` + privileged + `]}`, settings: `{"skip_ephemeral_containers":true}`, want: guest.Accept()},
		"containers are always looked at":    {podSpec: `{"containers":[` + privileged + `]}`, settings: `{"skip_ephemeral_containers":true,"skip_init_containers":true}`, want: guest.Reject(rejection)},
		"a kind that runs no containers":     {kind: guest.Kind{Kind: "ConfigMap"}, podSpec: `{"containers":"x"}`, want: guest.Accept()},
		"a custom resource of the same name": {kind: guest.Kind{Group: "example.com", Kind: "Job"}, podSpec: `{"containers":"x"}`, want: guest.Accept()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.kind.Kind == "" {
				tc.kind.Kind = "Pod"
			}
			got, err := validate(guest.Request{Kind: tc.kind, Object: objectOf(tc.kind.Kind, tc.podSpec), Settings: document.MustRead(tc.settings)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestValidateWorkloads(t *testing.T) {
	for kind, group := range map[string]string{
		"Pod": "", "ReplicationController": "", "Deployment": "apps", "ReplicaSet": "apps", "StatefulSet": "apps",
		"DaemonSet": "apps", "Job": "batch", "CronJob": "batch",
	} {
		for podSpec, want := range map[string]guest.Response{
			`{"containers":[` + privileged + `]}`: guest.Reject(rejection),
			`{"containers":[` + plain + `]}`:      guest.Accept(),
		} {
			got, err := validate(guest.Request{Kind: guest.Kind{Group: group, Kind: kind}, Object: objectOf(kind, podSpec)})
			if err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", kind, diff)
			}
		}
	}
}

func TestValidateWithoutObject(t *testing.T) {
	got, err := validate(guest.Request{Kind: guest.Kind{Kind: "Pod"}, Operation: "DELETE"})
	if err != nil || !got.Accepted {
		t.Errorf("got %+v, %v; want an accepted deletion", got, err)
	}
}

// A Pod that cannot be read is not let through.
func TestValidateFailsClosed(t *testing.T) {
	for object, want := range map[string]string{
		`{"spec":{"containers":{}}}`:                                        "decode Pod: containers: got {}, want a list",
		`{"spec":{"containers":[null]}}`:                                    "decode Pod: containers[0]: got null, want an object",
		`{"spec":{"initContainers":[{"securityContext":[]}]}}`:              "decode Pod: initContainers[0]: securityContext: got [], want an object",
		`{"spec":{"containers":[{"securityContext":{"privileged":"no"}}]}}`: `decode Pod: containers[0]: securityContext: privileged: got "no", want true or false`,
	} {
		_, err := validate(guest.Request{Kind: guest.Kind{Kind: "Pod"}, Object: document.MustRead(object)})
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", object, err, want)
		}
	}
	_, err := validate(guest.Request{Kind: guest.Kind{Kind: "Pod"}, Object: document.MustRead(`{}`), Settings: document.MustRead(`{"x":1}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "invalid settings: ") {
		t.Errorf("got %v, want an error about the settings", err)
	}
}

func TestValidateSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{}`:                            "",
		`{"skip_init_containers":true}`: "",
		`{"skip_init_containers":"on"}`: `setting "skip_init_containers": got "on", want true or false`,
		`{"skip_containers":true}`:      `unknown setting "skip_containers", allowed are: skip_init_containers, skip_ephemeral_containers`,
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
