//go:build integration

package crd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

var (
	restConfig *rest.Config
	k8s        client.Client
	// kubeconfig is a file for kubectl.
	kubeconfig string
)

// configDir holds what kustomize installs.
const configDir = "../../../config/"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	env := &envtest.Environment{}
	if restConfig, err = env.Start(); err != nil {
		return 0, fmt.Errorf("start the API server: %w", err)
	}
	defer func() {
		if stopErr := env.Stop(); stopErr != nil && err == nil {
			err = fmt.Errorf("stop the API server: %w", stopErr)
		}
	}()
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return 0, fmt.Errorf("make an administrator: %w", err)
	}
	if kubeconfig, err = writeKubeconfig(admin); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.Remove(kubeconfig)) }()
	if err := install(); err != nil {
		return 0, err
	}
	plain, err := client.New(restConfig, client.Options{})
	if err != nil {
		return 0, fmt.Errorf("make a client: %w", err)
	}
	// As kubectl does: an unknown field is an error.
	k8s = client.WithFieldValidation(plain, metav1.FieldValidationStrict)
	return m.Run(), nil
}

func writeKubeconfig(user *envtest.AuthenticatedUser) (path string, err error) {
	content, err := user.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("make a kubeconfig: %w", err)
	}
	file, err := os.CreateTemp("", "kubeconfig")
	if err != nil {
		return "", fmt.Errorf("make a file for the kubeconfig: %w", err)
	}
	if _, err := file.Write(content); err != nil {
		return "", fmt.Errorf("write the kubeconfig: %w", errors.Join(err, file.Close()))
	}
	return file.Name(), file.Close()
}

// install applies config/default as a user does, and waits until the CRDs are served.
func install() error {
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", configDir + "default"},
		{"wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"},
	} {
		if output, err := runKubectl(args...); err != nil {
			return fmt.Errorf("kubectl %v: %w\n%s", args, err, output)
		}
	}
	return nil
}

// runKubectl runs the kubectl that stands beside the API server's binary.
func runKubectl(args ...string) (output []byte, err error) {
	command := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	return command.CombinedOutput()
}

// An edit changes one field of a manifest.
type edit func(t *testing.T, fields map[string]any)

// with sets the field at a path such as "spec.mode" to a value, given as YAML.
func with(path, value string) edit {
	return func(t *testing.T, fields map[string]any) {
		t.Helper()
		var decoded any
		if err := yaml.Unmarshal([]byte(value), &decoded); err != nil {
			t.Fatalf("decode %q: %v", value, err)
		}
		if err := unstructured.SetNestedField(fields, jsonNumbers(decoded), strings.Split(path, ".")...); err != nil {
			t.Fatal(err)
		}
	}
}

// without removes the field at a path.
func without(path string) edit {
	return func(_ *testing.T, fields map[string]any) {
		unstructured.RemoveNestedField(fields, strings.Split(path, ".")...)
	}
}

// jsonNumbers turns whole numbers into the only type that unstructured objects have for
// them.
func jsonNumbers(value any) any {
	switch v := value.(type) {
	case float64:
		return int64(v)
	case map[string]any:
		for key := range v {
			v[key] = jsonNumbers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = jsonNumbers(v[i])
		}
	}
	return value
}

// object decodes a manifest and applies edits to it.
func object(t *testing.T, manifest string, edits ...edit) *unstructured.Unstructured {
	t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &fields); err != nil {
		t.Fatalf("decode manifest: %v", err)
	}
	fields, _ = jsonNumbers(fields).(map[string]any)
	for _, edit := range edits {
		edit(t, fields)
	}
	return &unstructured.Unstructured{Object: fields}
}

// A creation is an object that the API server takes, or refuses with a message.
type creation struct {
	edits []edit
	// wantError is part of the message; empty means that the object is taken.
	wantError string
}

// testCreations asks the API server to create each object and leaves nothing behind.
func testCreations(t *testing.T, manifest string, cases map[string]creation) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := k8s.Create(t.Context(), object(t, manifest, tc.edits...), client.DryRunAll)
			checkError(t, err, tc.wantError)
		})
	}
}

// A change is what is done to an object that exists.
type change struct {
	before, after []edit
	// wantError is part of the message; empty means that the change is taken.
	wantError string
}

// testChanges makes each object, asks the API server for the change, and removes it.
func testChanges(t *testing.T, manifest string, cases map[string]change) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			existing := create(t, object(t, manifest, tc.before...))
			for _, edit := range tc.after {
				edit(t, existing.Object)
			}
			checkError(t, k8s.Update(t.Context(), existing), tc.wantError)
		})
	}
}

// create makes an object and removes it when the test ends.
func create(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	if err := k8s.Create(t.Context(), object); err != nil {
		t.Fatalf("create %s %s: %v", object.GetKind(), object.GetName(), err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := k8s.Delete(context.WithoutCancel(t.Context()), object); err != nil {
			t.Errorf("delete %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	})
	return object
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused with %q, want it to be taken", err)
	case want != "" && err == nil:
		t.Errorf("taken, want it to be refused with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("refused with %q, want %q in it", err, want)
	}
}
