package main

import (
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, image string
		want           bool
	}{
		{"r.test/a/app", "r.test/a/app", true},
		{"r.test/a/app", "r.test/a/app:v1@sha256:1", true},
		{"r.test/a/app", "r.test/a/app-evil", false},
		{"r.test/a/app:v1", "r.test/a/app:v1", true},
		{"r.test/a/app:v1", "r.test/a/app:v2", false},
		{"r.test/a/*", "r.test/a/b/c:v1", true},
		{"r.test/a/*", "r.test/ab", false},
		{"*", "r.test:5000/a", true},
		{"*/a/*", "r.test/a/b", true},
		{"*/a/*", "r.test/b", false},
		{"r.*/a*b", "r.test/ab", true},
		{"r.*/a*b", "r.test/ac", false},
		{"ab*b", "ab", false},
		{"r.test/a*:v1", "r.test/ab:v1", true},
		{"*a*a*", "aa", true},
		{"*a*a*", "a", false},
	} {
		if got := (demand{Image: tc.pattern}).isAbout(tc.image); got != tc.want {
			t.Errorf("%s is about %s: got %v", tc.pattern, tc.image, got)
		}
	}
}

func TestValidateSettings(t *testing.T) {
	const (
		quoted   = `"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"`
		wantName = ", want a name with its registry such as ghcr.io/team/app, or a pattern such as ghcr.io/team/*"
	)
	for settings, want := range map[string]string{
		`{"signatures":[{"image":"r.test/*","pubKeys":[` + quoted + `]}],"unmatchedImages":"accept","modifyImagesWithDigest":false}`: "",
		`{"signatures":[{"image":"*","keyless":[{"issuer":"https://a","subject":"b"}],"annotations":{"a":"b"}}]}`:                    "",
		`{"signatures":[{"image":"*","keylessPrefix":[{"issuer":"https://a","urlPrefix":"https://b/"}]}]}`:                           "",
		`{}`:                             `setting "signatures": got nothing, want at least one demand`,
		`{"signatures":[{"image":"*"}]}`: "signatures[0]: got no signer, want pubKeys, keyless or keylessPrefix",
		`{"signatures":[{"image":"busybox","pubKeys":[` + quoted + `]}]}`:                        `signatures[0]: image: got "busybox"` + wantName,
		`{"signatures":[{"image":"team/app","pubKeys":[` + quoted + `]}]}`:                       `signatures[0]: image: got "team/app"` + wantName,
		`{"signatures":[{"image":"r.test/a@sha256:1","pubKeys":[` + quoted + `]}]}`:              `signatures[0]: image: got "r.test/a@sha256:1"` + wantName,
		`{"signatures":[{"image":"r.test/a/","pubKeys":[` + quoted + `]}]}`:                      `signatures[0]: image: got "r.test/a/"` + wantName,
		`{"signatures":[{"image":"r.test:5000","pubKeys":[` + quoted + `]}]}`:                    `signatures[0]: image: got "r.test:5000"` + wantName,
		`{"signatures":[{"image":"*","pubKeys":["a"]}]}`:                                         "signatures[0]: pubKeys[0]: want a public key in PEM",
		`{"signatures":[{"image":"*","keyless":[{"issuer":"a"}]}]}`:                              `signatures[0]: keyless[0]: got issuer "a" and subject "", want both`,
		`{"signatures":[{"image":"*","keylessPrefix":[{"issuer":"a","urlPrefix":"git.test"}]}]}`: `signatures[0]: keylessPrefix[0]: got issuer "a" and urlPrefix "git.test", want an issuer and the beginning of a URL`,
		`{"signatures":[{"image":"*","pubKeys":[` + quoted + `],"annotation":{}}]}`:              `setting "signatures"[0]: unknown setting "annotation", allowed are: image, pubKeys, keyless, keylessPrefix, annotations`,
		`{"signatures":[{"image":"*","pubKeys":` + quoted + `}]}`:                                `setting "signatures"[0]: setting "pubKeys": got "-----BEGIN PUBLIC KEY-----\nAAAA\n-----..., want a list`,
		`{"signatures":[],"unmatchedImages":"allow"}`:                                            `setting "unmatchedImages": got "allow", want deny or accept`,
		`{"images":[]}`: `unknown setting "images", allowed are: signatures, unmatchedImages, modifyImagesWithDigest`,
	} {
		got := ""
		if err := validateSettings(document.MustRead(settings)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", strings.TrimSpace(settings), got, want)
		}
	}
}
