package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestTrusts(t *testing.T) {
	trusted := settings{Registries: []string{"ghcr.io/kubewarden", "registry.k8s.io", "localhost:5000", "docker.io/library"}}
	for image, want := range map[string]bool{
		"ghcr.io/kubewarden/policy-server:v1":     true,
		"ghcr.io/kubewarden:v1":                   true,
		"ghcr.io/kubewarden@sha256:abc":           true,
		"ghcr.io/kubewarden-evil/policy-server":   false,
		"ghcr.io/other":                           false,
		"ghcr.io.example.com/kubewarden/x":        false,
		"registry.k8s.io/pause:3.10":              true,
		"registry.k8s.io:8443/pause":              false,
		"registry.k8s.io.example.com/pause":       false,
		"localhost:5000/app":                      true,
		"localhost:5001/app":                      false,
		"busybox":                                 true,
		"busybox:1.36":                            true,
		"someone/busybox":                         false,
		"docker.io/library/busybox@sha256:abcdef": true,
		"docker.io/busybox":                       true,
		"index.docker.io/library/busybox":         true,
		"":                                        true, // an API server refuses it
	} {
		if got := trusted.trusts(image); got != want {
			t.Errorf("%s: got %v, want %v", image, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	request := guest.Request{
		Kind: guest.Kind{Group: "apps", Kind: "Deployment"},
		Object: document.MustRead(`{"spec":{"template":{"spec":{"initContainers":[{"name":"a","image":"evil.example/a"}],` +
			`"containers":[{"name":"b","image":"good.example/b"},{"name":"c","image":"c"}]}}}}`),
		Settings: document.MustRead(`{"registries":["good.example"]}`),
	}
	got, err := validate(request)
	if err != nil {
		t.Fatal(err)
	}
	want := guest.Reject(`container "a": image "evil.example/a" is not from a trusted registry; container "c": image "c" is not from a trusted registry`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	request.Object = document.Value{}
	if got, err := validate(request); err != nil || !got.Accepted {
		t.Errorf("got %+v, %v, want an accepted deletion", got, err)
	}
	for object, want := range map[string]string{
		`{"spec":{"template":1}}`: "decode Deployment: spec: template: got 1, want an object",
		`{"spec":{"template":{"spec":{"containers":[{"image":["a"]}]}}}}`: `decode Deployment: containers[0]: image: got ["a"], want a string`,
	} {
		request.Object = document.MustRead(object)
		if _, err := validate(request); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", object, err, want)
		}
	}
}

func TestTrustsDockerHubByItsOtherHost(t *testing.T) {
	trusted, err := decodeSettings(document.MustRead(`{"registries":["index.docker.io/library"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if !trusted.trusts("busybox") || trusted.trusts("someone/busybox") {
		t.Errorf("%v is not Docker's own images", trusted.Registries)
	}
}

func TestValidateSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{"registries":["ghcr.io","localhost/a","example.com:5000/a/b"]}`: "",
		`{}`:                            `setting "registries": got nothing, want at least one registry`,
		`{"registries":["kubewarden"]}`: `registries[0]: got "kubewarden", want a registry such as ghcr.io or ghcr.io/kubewarden`,
		`{"registries":["ghcr.io/"]}`:   `registries[0]: got "ghcr.io/", want a registry such as ghcr.io or ghcr.io/kubewarden`,
		`{"registries":["ghcr.io/*"]}`:  `registries[0]: got "ghcr.io/*", want a registry such as ghcr.io or ghcr.io/kubewarden`,
		`{"allow":["ghcr.io"]}`:         `unknown setting "allow", allowed are: registries`,
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
