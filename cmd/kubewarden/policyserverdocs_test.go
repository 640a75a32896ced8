package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
)

var update = flag.Bool("update", false, "rewrite what is generated in the documentation")

// run runs the binary's command line.
func run(t *testing.T, arguments ...string) string {
	t.Helper()
	command := rootCommand()
	var output bytes.Buffer
	command.SetOut(&output)
	command.SetArgs(arguments)
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	return output.String()
}

// The table of flags in the documentation is the one that the flags give.
func TestDocumentationOfFlags(t *testing.T) {
	const begin, end = "<!-- flags: generated, see policyserverdocs_test.go -->\n", "<!-- end of flags -->\n"
	path := filepath.Join("..", "..", "docs", "policy-server.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the flags", path)
	}
	want := flagTable(policyServerCommand().Flags(), policyServerEnv)
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run the test with -update; -want +got:\n%s", diff)
	}
}

func TestDocsCommand(t *testing.T) {
	for _, flag := range []string{"--output", "-o"} {
		path := filepath.Join(t.TempDir(), "cli.md")
		run(t, "policy-server", "docs", flag, path)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"# `kubewarden policy-server`\n", "| `--port` | `KUBEWARDEN_PORT` | `3000` | port of the API |\n",
			"| `--log-no-color` | `NO_COLOR` |", "| `--workers` | `KUBEWARDEN_WORKERS` | 4 for each CPU |", "`text`, `json`, `otlp` |\n",
		} {
			if !strings.Contains(string(content), want) {
				t.Errorf("%s: got %s, want %q in it", flag, content, want)
			}
		}
	}
	command := rootCommand()
	command.SetArgs([]string{"policy-server", "docs"})
	if err := command.Execute(); err == nil || !strings.Contains(err.Error(), `"output" not set`) {
		t.Errorf("got %v without a file, want an error that asks for one", err)
	}
}

func TestVersionOfThePolicyServer(t *testing.T) {
	t.Setenv("KUBEWARDEN_PORT", "no number")
	if got, want := run(t, "policy-server", "-V"), "policy-server "+version+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := "policy-server " + version + "\n\nOpen Policy Agent/Gatekeeper implemented builtins:\n  - " + strings.Join(rego.Builtins(), "\n  - ") + "\n"
	if diff := cmp.Diff(want, run(t, "policy-server", "--version")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
