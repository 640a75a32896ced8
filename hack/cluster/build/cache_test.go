package build

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// newTestCache is a cache with one build module, a program that prints its version.
func newTestCache(t *testing.T, log io.Writer) *Cache {
	t.Helper()
	cache := &Cache{Dir: t.TempDir(), Modules: t.TempDir(), Progress: progress.New(log, time.Now)}
	writeFile(t, filepath.Join(cache.Modules, "hello", "go.mod"), "module hello\n\ngo 1.26\n")
	writeFile(t, filepath.Join(cache.Modules, "hello", "main.go"), "package main\n\nvar version string\n\nfunc main() { println(version) }\n")
	return cache
}

var hello = Binary{Name: "hello", Module: "hello", Package: ".", LDFlags: "-X main.version=1", Hint: "seconds"}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestKeyFollowsWhatDeterminesABinary(t *testing.T) {
	cache := newTestCache(t, io.Discard)
	key := func(binary Binary) string {
		t.Helper()
		key, err := cache.key(t.Context(), binary)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	first := key(hello)
	if again := key(hello); again != first {
		t.Errorf("the key changed from %s to %s without a reason", first, again)
	}
	t.Setenv("GOFLAGS", "-tags=other")
	if again := key(hello); again != first {
		t.Errorf("the key depends on flags that a build does not use")
	}
	flags, tags, name := hello, hello, hello
	flags.LDFlags = "-X main.version=2"
	tags.Tags = "small"
	name.Name = "hello2"
	seen := map[string]string{first: "the first"}
	for reason, other := range map[string]string{"other linker flags": key(flags), "build tags": key(tags), "another name": key(name)} {
		if same, found := seen[other]; found {
			t.Errorf("%s: the key is that of %s", reason, same)
		}
		seen[other] = reason
	}
	for _, file := range []string{"go.mod", "main.go", "nested/extra.txt"} {
		writeFile(t, filepath.Join(cache.Modules, "hello", file), "changed\n")
		if file == "go.mod" {
			writeFile(t, filepath.Join(cache.Modules, "hello", file), "module changed\n\ngo 1.26\n")
		}
		other := key(hello)
		if same, found := seen[other]; found {
			t.Errorf("%s changed: the key is that of %s", file, same)
		}
		seen[other] = file
	}
}

func TestPathBuildsOnce(t *testing.T) {
	var log strings.Builder
	cache := newTestCache(t, &log)
	first, err := cache.Path(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(first); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the binary at %s: %v, %v; want a program", first, info, err)
	}
	second, err := cache.Path(t.Context(), hello)
	if err != nil || second != first {
		t.Errorf("the second time: %s, %v; want %s", second, err, first)
	}
	if built := strings.Count(log.String(), "ok build hello"); built != 1 {
		t.Errorf("built %d times, want once:\n%s", built, log.String())
	}
}

func TestPathLeavesNothingOfAFailedBuild(t *testing.T) {
	cache := newTestCache(t, io.Discard)
	writeFile(t, filepath.Join(cache.Modules, "hello", "main.go"), "package main\n\nfunc main() { undefined() }\n")
	_, err := cache.Path(t.Context(), hello)
	if err == nil || !strings.Contains(err.Error(), "undefined") {
		t.Fatalf("Path = %v, want the compiler's message", err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.Path(interrupted, hello); err == nil {
		t.Error("a build whose context has ended succeeded")
	}
}

func TestKubernetesHasATrueVersion(t *testing.T) {
	for _, want := range []string{
		" k8s.io/component-base/version.gitVersion=" + KubernetesVersion + " ",
		" k8s.io/component-base/version.gitMajor=1 ",
		" k8s.io/component-base/version.gitMinor=37 ",
		" k8s.io/client-go/pkg/version.gitVersion=" + KubernetesVersion + " ",
	} {
		if !strings.Contains(APIServer.LDFlags, want) {
			t.Errorf("linker flags %q lack %q", APIServer.LDFlags, want)
		}
	}
	modfile, err := os.ReadFile(filepath.Join("kubernetes", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "require k8s.io/kubernetes " + KubernetesVersion + "\n"; !strings.Contains(string(modfile), want) {
		t.Errorf("the module that pins Kubernetes lacks %q", want)
	}
}

func TestNamedBinaries(t *testing.T) {
	names := func(binaries []Binary) (names []string) {
		for _, binary := range binaries {
			names = append(names, binary.Name)
		}
		return names
	}
	for _, tc := range []struct{ given, want []string }{
		{nil, names(All)},
		{[]string{"opm", "etcd"}, []string{"opm", "etcd"}},
	} {
		got, err := Named(tc.given)
		if diff := cmp.Diff(tc.want, names(got)); err != nil || diff != "" {
			t.Errorf("Named(%v): %v, (-want +got):\n%s", tc.given, err, diff)
		}
	}
	if _, err := Named([]string{"docker"}); err == nil || !strings.Contains(err.Error(), `binary "docker" is not known; allowed are kube-apiserver, `) {
		t.Errorf("Named(docker) = %v, want an error that names what is known", err)
	}
}
