package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// registry is a host that verifies by a table: of an image, who signed it; and by another, what
// its digest is. It notes what it was asked.
type registry struct {
	signed map[string][]string
	// digests of images; a second item is the digest from the second question on.
	digests map[string][]string
	asked   []string
}

func (r *registry) call(namespace, operation string, payload []byte) ([]byte, error) {
	var asked question
	if err := json.Unmarshal(payload, &asked); err != nil || namespace+"/"+operation != "oci/v2/verify" {
		return nil, fmt.Errorf("got %s/%s %s", namespace, operation, payload)
	}
	wanted := slices.Clone(asked.PublicKeys)
	for _, one := range asked.Keyless {
		wanted = append(wanted, one.Issuer+" "+one.Subject)
	}
	for _, one := range asked.KeylessPrefix {
		wanted = append(wanted, one.Issuer+" "+one.URLPrefix+"*")
	}
	r.asked = append(r.asked, fmt.Sprintf("%s %s %s", asked.Type, asked.Image, asked.Annotations["env"]))
	digests := r.digests[asked.Image]
	if len(digests) == 0 {
		return nil, errors.New("MANIFEST_UNKNOWN")
	}
	if len(digests) > 1 {
		r.digests[asked.Image] = digests[1:]
	}
	for _, signer := range wanted {
		if !slices.Contains(r.signed[asked.Image], signer) {
			return nil, errors.New("not signed by " + strings.TrimSpace(signer))
		}
	}
	return json.Marshal(map[string]any{"is_trusted": true, "digest": digests[0]})
}

const (
	key      = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
	otherKey = "-----BEGIN PUBLIC KEY-----\nAAAB\n-----END PUBLIC KEY-----\n"
)

func newRegistry() *registry {
	alice, project := "https://oidc.test alice@test", "https://oidc.test https://git.test/team/*"
	return &registry{
		signed: map[string][]string{
			"r.test/a/app:v1": {key, alice}, "r.test/a/app@sha256:1": {key, alice, project}, "r.test/b/app": {key},
			"docker.io/library/busybox": {key},
		},
		digests: map[string][]string{
			"r.test/a/app:v1": {"sha256:1"}, "r.test/a/app@sha256:1": {"sha256:1"}, "r.test/b/app": {"sha256:2"},
			"docker.io/library/busybox": {"sha256:3"},
		},
	}
}

// demands are settings with some members.
func demands(t *testing.T, members map[string]any) document.Value {
	t.Helper()
	raw, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return document.MustRead(string(raw))
}

// keyOf demands a key for images.
func keyOf(image, key string) map[string]any {
	return map[string]any{"image": image, "pubKeys": []string{key}}
}

// pod has containers with these images, the first of which is there before the others.
func pod(images ...string) string {
	containers := make([]map[string]any, 0, len(images))
	for i, name := range images {
		containers = append(containers, map[string]any{"name": fmt.Sprintf("c%d", i), "image": name})
	}
	raw, _ := json.Marshal(map[string]any{"spec": map[string]any{"initContainers": containers[:1], "containers": containers[1:]}})
	return string(raw)
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		settings       map[string]any
		images         []string
		want           []string // of the containers; nil for no change
		refusal        string
		wantsQuestions []string
	}{
		"a tag is pinned to what was verified": {
			settings: map[string]any{"signatures": []any{keyOf("r.test/a/*", key)}}, images: []string{"r.test/a/app:v1"},
			want: []string{"r.test/a/app:v1@sha256:1"}, wantsQuestions: []string{"SigstorePubKeyVerify r.test/a/app:v1 "},
		},
		"the same image is verified once": {
			settings: map[string]any{"signatures": []any{keyOf("r.test/a/*", key)}}, images: []string{"r.test/a/app:v1", "r.test/a/app:v1"},
			want: []string{"r.test/a/app:v1@sha256:1", "r.test/a/app:v1@sha256:1"}, wantsQuestions: []string{"SigstorePubKeyVerify r.test/a/app:v1 "},
		},
		"tags are left": {
			settings: map[string]any{"signatures": []any{keyOf("r.test/a/*", key)}, "modifyImagesWithDigest": false}, images: []string{"r.test/a/app:v1"},
		},
		"a digest is left": {
			settings: map[string]any{"signatures": []any{keyOf("r.test/a/app", key)}}, images: []string{"r.test/a/app@sha256:1"},
		},
		"another key": {
			settings: map[string]any{"signatures": []any{keyOf("r.test/a/*", otherKey)}}, images: []string{"r.test/b/app", "r.test/a/app:v1"},
			refusal: `container "c0": image "r.test/b/app" is not verified: no demand of signatures is about it; ` +
				`container "c1": image "r.test/a/app:v1" is not verified: ask oci/v2/verify: not signed by ` + strings.TrimSpace(otherKey),
		},
		"what no demand is about is accepted as it is": {
			settings: map[string]any{"signatures": []any{keyOf("r.test/a/*", otherKey)}, "unmatchedImages": "accept"}, images: []string{"r.test/b/app"},
		},
		"a short name has its registry": {
			settings: map[string]any{"signatures": []any{keyOf("docker.io/library/*", key)}}, images: []string{"busybox"}, want: []string{"busybox@sha256:3"},
		},
		"a short name is no way around a demand": {
			settings: map[string]any{"signatures": []any{keyOf("docker.io/*", otherKey)}, "unmatchedImages": "accept"}, images: []string{"index.docker.io/busybox"},
			refusal: `container "c0": image "index.docker.io/busybox" is not verified: ask oci/v2/verify: not signed by ` + strings.TrimSpace(otherKey),
		},
		"a registry that is not there": {
			settings: map[string]any{"signatures": []any{keyOf("*", key)}}, images: []string{"away.test/app"},
			refusal: `container "c0": image "away.test/app" is not verified: ask oci/v2/verify: MANIFEST_UNKNOWN`,
		},
		"all demands are met, of the digest that was verified first": {
			settings: map[string]any{"signatures": []any{
				map[string]any{"image": "r.test/a/*", "pubKeys": []string{key}, "keyless": []any{map[string]string{"issuer": "https://oidc.test", "subject": "alice@test"}}, "annotations": map[string]string{"env": "prod"}},
				map[string]any{"image": "*", "keylessPrefix": []any{map[string]string{"issuer": "https://oidc.test", "urlPrefix": "https://git.test/team/"}}},
			}},
			images: []string{"r.test/a/app:v1"}, want: []string{"r.test/a/app:v1@sha256:1"},
			wantsQuestions: []string{"SigstorePubKeyVerify r.test/a/app:v1 prod", "SigstoreKeylessVerify r.test/a/app@sha256:1 prod", "SigstoreKeylessPrefixVerify r.test/a/app@sha256:1 "},
		},
		"one of several demands is not met": {
			settings: map[string]any{"signatures": []any{keyOf("*", key), keyOf("r.test/*", otherKey)}}, images: []string{"r.test/a/app:v1"},
			refusal: `container "c0": image "r.test/a/app:v1" is not verified: ask oci/v2/verify: not signed by ` + strings.TrimSpace(otherKey),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			host := newRegistry()
			got, err := validate(guest.Request{
				Kind: guest.Kind{Kind: "Pod"}, Operation: "CREATE", Object: document.MustRead(pod(tc.images...)),
				Settings: demands(t, tc.settings), Host: host.call,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := guest.Response{Accepted: tc.refusal == "", Message: tc.refusal}
			if tc.want != nil {
				want.MutatedObject = []byte(pod(tc.want...))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantsQuestions, host.asked); tc.wantsQuestions != nil && diff != "" {
				t.Errorf("questions: -want +got\n%s", diff)
			}
		})
	}
}

// Whatever a tag stands for by the second question, that is not what the first one verified.
func TestValidateIsAboutOneDigest(t *testing.T) {
	host := newRegistry()
	host.digests["r.test/a/app@sha256:1"] = []string{"sha256:2"}
	got, err := validate(guest.Request{
		Kind: guest.Kind{Kind: "Pod"}, Object: document.MustRead(pod("r.test/a/app:v1")), Host: host.call,
		Settings: demands(t, map[string]any{"signatures": []any{keyOf("*", key), keyOf("r.test/*", key)}}),
	})
	if err != nil || got.Accepted || !strings.Contains(got.Message, "sha256:2 was verified in place of sha256:1") {
		t.Errorf("got %+v, %v, want a refusal", got, err)
	}
}

func TestValidateJudgesWhatAnUpdateBrings(t *testing.T) {
	for name, tc := range map[string]struct {
		operation string
		before    string
		want      guest.Response
	}{
		"the image was there":       {"UPDATE", pod("r.test/a/old:v1"), guest.Accept()},
		"another one was there":     {"UPDATE", pod("r.test/a/app:v1"), guest.Reject(`container "c0": image "r.test/a/old:v1" is not verified: ask oci/v2/verify: MANIFEST_UNKNOWN`)},
		"a creation brings it all":  {"CREATE", pod("r.test/a/old:v1"), guest.Reject(`container "c0": image "r.test/a/old:v1" is not verified: ask oci/v2/verify: MANIFEST_UNKNOWN`)},
		"a deletion brings nothing": {"DELETE", pod("r.test/a/old:v1"), guest.Accept()},
	} {
		t.Run(name, func(t *testing.T) {
			request := guest.Request{
				Kind: guest.Kind{Kind: "Pod"}, Operation: tc.operation, Object: document.MustRead(pod("r.test/a/old:v1")),
				Document: document.MustRead(`{"oldObject":` + tc.before + `}`),
				Settings: demands(t, map[string]any{"signatures": []any{keyOf("*", key)}}), Host: newRegistry().call,
			}
			if tc.operation == "DELETE" {
				request.Object = document.Value{}
			}
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

func TestValidateFailsClosed(t *testing.T) {
	settings := demands(t, map[string]any{"signatures": []any{keyOf("*", key)}})
	for want, request := range map[string]guest.Request{
		"decode Pod: spec: got 1, want an object":                     {Object: document.MustRead(`{"spec":1}`)},
		"decode Pod: containers: got {}, want a list":                 {Object: document.MustRead(`{"spec":{"containers":{}}}`)},
		"decode Pod: containers[0]: got 1, want an object":            {Object: document.MustRead(`{"spec":{"containers":[1]}}`)},
		"decode Pod: initContainers[0]: image: got {}, want a string": {Object: document.MustRead(`{"spec":{"initContainers":[{"image":{}}]}}`)},
		"decode Pod: oldObject: got nothing, want an object":          {Operation: "UPDATE", Object: document.MustRead(`{}`), Document: document.MustRead(`{}`)},
		"decode Pod: oldObject: spec: got [], want an object":         {Operation: "UPDATE", Object: document.MustRead(`{}`), Document: document.MustRead(`{"oldObject":{"spec":[]}}`)},
		`invalid settings: setting "signatures": got no`:              {Object: document.MustRead(`{}`), Settings: document.MustRead(`{}`)},
	} {
		request.Kind.Kind, request.Host = "Pod", newRegistry().call
		if !request.Settings.Exists() {
			request.Settings = settings
		}
		got, err := validate(request)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %+v, %v, want an error that begins with %s", got, err, want)
		}
	}
	// An answer that does not say so is not trusted.
	got, err := validate(guest.Request{
		Kind: guest.Kind{Kind: "Pod"}, Object: document.MustRead(pod("r.test/app")), Settings: settings,
		Host: func(string, string, []byte) ([]byte, error) { return []byte(`{"digest":"sha256:1"}`), nil },
	})
	if err != nil || got.Accepted {
		t.Errorf("got %+v, %v, want a refusal", got, err)
	}
}
