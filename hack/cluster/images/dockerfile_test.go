package images

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuildArgs(t *testing.T) {
	builder := Builder{Args: []string{"VERSION=1", "BASE_IMAGE=mine"}}
	got := builder.buildArgs(map[string]string{"GOPROXY": "https://proxy.test", "GOFLAGS": "", "GOROOT": "/usr/local/go"})
	want := []string{"--build-arg", "GOPROXY=https://proxy.test", "--build-arg", "VERSION=1", "--build-arg", "BASE_IMAGE=mine"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("build arguments (-want +got):\n%s", diff)
	}
}

func TestGoEnv(t *testing.T) {
	t.Setenv("GOPROXY", "https://proxy.test,off")
	t.Setenv("GOPRIVATE", "")
	got, err := goEnv(t.Context(), []string{"GOPRIVATE", "GOPROXY"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"GOPRIVATE": "", "GOPROXY": "https://proxy.test,off"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}
