package image_test

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest/image"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]struct{ expanded, repository, digest string }{
		"busybox":                      {"docker.io/library/busybox", "docker.io/library/busybox", ""},
		"busybox:1.36":                 {"docker.io/library/busybox:1.36", "docker.io/library/busybox", ""},
		"team/app@sha256:a":            {"docker.io/team/app@sha256:a", "docker.io/team/app", "sha256:a"},
		"docker.io/busybox":            {"docker.io/library/busybox", "docker.io/library/busybox", ""},
		"index.docker.io/busybox:1":    {"docker.io/library/busybox:1", "docker.io/library/busybox", ""},
		"index.docker.io/team/app":     {"docker.io/team/app", "docker.io/team/app", ""},
		"localhost/app":                {"localhost/app", "localhost/app", ""},
		"ghcr.io:8443/a/b:v1@sha256:a": {"ghcr.io:8443/a/b:v1@sha256:a", "ghcr.io:8443/a/b", "sha256:a"},
		"ghcr.io:8443/a/b":             {"ghcr.io:8443/a/b", "ghcr.io:8443/a/b", ""},
	} {
		expanded := image.Expand(name)
		_, digest := image.WithoutDigest(expanded)
		if repository := image.Repository(expanded); expanded != want.expanded || repository != want.repository || digest != want.digest {
			t.Errorf("%s: got %s, %s, %q, want %s, %s, %q", name, expanded, repository, digest, want.expanded, want.repository, want.digest)
		}
	}
}
