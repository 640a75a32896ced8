package build_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

func TestBuild(t *testing.T) {
	root, err := build.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	names, err := build.Names(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"container-limits", "disallow-service-nodeport", "drop-capabilities", "namespace-labels", "pod-privileged", "raw-validation", "required-labels", "trusted-registries", "unique-ingress-hosts", "verified-images"}, names); diff != "" {
		t.Errorf("names: -want +got\n%s", diff)
	}
	for _, name := range names {
		policy, err := build.Build(t.Context(), root, name)
		if err != nil {
			t.Fatal(err)
		}
		again, err := build.Build(t.Context(), root, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(policy.Module, again.Module) {
			t.Errorf("%s: two builds of the same sources differ", name)
		}
		module, err := wasm.Parse(policy.Module)
		if err != nil {
			t.Fatal(err)
		}
		payload, _ := module.CustomSection(metadata.Section)
		got, err := metadata.Decode(payload)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(policy.Metadata, got); diff != "" {
			t.Errorf("%s: metadata: -want +got\n%s", name, diff)
		}
		if policy.Version != "0.1.0" || policy.Metadata.Annotations["io.kubewarden.policy.title"] != name {
			t.Errorf("%s: got version %q and title %q", name, policy.Version, policy.Metadata.Annotations["io.kubewarden.policy.title"])
		}
		if err := got.CheckRunnable("1.37.2"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ metadata, want string }{
		"an unknown key":      {"rules: []\nmutating: false\nmutate: true", `unknown field "mutate"`},
		"no version":          {"rules: []\nmutating: false", "annotation io.kubewarden.policy.version: missing"},
		"what is no map":      {"- a", "cannot unmarshal"},
		"an invalid value":    {"rules: []\nmutating: false\nexecutionMode: jvm", `executionMode: got "jvm"`},
		"what does not build": {"rules: []\nmutating: false\nannotations: {io.kubewarden.policy.version: 1.0.0}", "compile: "},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			folder := filepath.Join(root, "policies", "mine")
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "metadata.yml"), []byte(tc.metadata), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := build.Build(t.Context(), root, "mine")
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "build policy mine: ") {
				t.Errorf("got %v, want an error about policy mine and %q", err, tc.want)
			}
		})
	}
	if _, err := build.Root("/"); err == nil {
		t.Error("found a module root above /")
	}
}
