package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

func TestAuditScannerHasUpstreamsFlags(t *testing.T) {
	var got []string
	auditScannerCommand().Flags().VisitAll(func(flag *pflag.Flag) {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s=%s %s", flag.Name, flag.DefValue, flag.Shorthand)))
	})
	want := []string{
		"client-cert=", "client-key=", "cluster=false c", "disable-store=false", "extra-ca= f", "ignore-namespaces=[] i",
		"exempt-namespaces=[]", "match-condition=", "operations=[CREATE]", "log-fmt=json", "summary-file=", // ours
		"insecure-ssl=false", "kubewarden-namespace=kubewarden k", "loglevel=info l", "namespace= n", "output-scan=false o",
		"page-size=100", "parallel-namespaces=1", "parallel-policies=5", "parallel-resources=100", "policy-server-url= u",
		"report-kind=policyreport",
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAuditScannerRefusesBadFlags(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	cases := map[string]struct {
		args []string
		want string
	}{
		"a level that does not exist":      {[]string{"--loglevel", "loud"}, `--loglevel: "loud" is not allowed; allowed are debug, info, warning, error`},
		"a kind that does not exist":       {[]string{"--report-kind", "openreport"}, `--report-kind: report kind "openreport" is not known; allowed are policyreport, openreports`},
		"a certificate without a key":      {[]string{"--client-cert", "cert.pem"}, "they must all be set; missing [client-key]"},
		"an argument":                      {[]string{"now"}, `unknown command "now"`},
		"an authority that is missing":     {[]string{"--extra-ca", missing}, "--extra-ca: open "},
		"an operation that leaves nothing": {[]string{"--operations", "CREATE,CONNECT"}, `--operations: "CONNECT" is not allowed; allowed are CREATE, UPDATE, DELETE`},
		"a condition that is missing":      {[]string{"--match-condition", missing}, "--match-condition: open "},
		"a format that does not exist":     {[]string{"--log-fmt", "xml"}, `--log-fmt: "xml" is not allowed; allowed are json, text`},
		"nothing to do at once":            {[]string{"--parallel-policies", "0"}, "parallel policies is 0; allowed is 1 or more"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", filepath.Join("testdata", "unreachable.kubeconfig"))
			err := executeAuditScanner(io.Discard, tc.args)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func executeAuditScanner(out io.Writer, args []string) error {
	root := rootCommand()
	root.SetOut(out)
	root.SetErr(out)
	root.SetArgs(append([]string{"audit-scanner"}, args...))
	return root.Execute()
}

func TestAuditScannerSaysThatTheClusterCannotBeReached(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join("testdata", "unreachable.kubeconfig"))
	var out bytes.Buffer
	err := executeAuditScanner(&out, []string{"--cluster", "--namespace", "team-a"})
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error = %v", err)
	}
	first, _, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(first, "only what lives in no namespace is scanned") {
		t.Errorf("log: %s", out.String())
	}
}

func TestAuditLogHasUpstreamsKeys(t *testing.T) {
	for _, level := range []string{"", "debug", "info", "warning", "error", "trace", "warn", "fatal"} {
		if _, err := auditLogger(io.Discard, "json", level); err != nil {
			t.Errorf("level %q: %v", level, err)
		}
	}
	var out bytes.Buffer
	log, err := auditLogger(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("one")
	log.Info("two")
	log.Warn("three", "policy", "kw.cap.a")
	log.Error("four")
	var got []string
	for line := range strings.Lines(out.String()) {
		entry := map[string]string{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry["time"] == "" {
			t.Errorf("no time: %s", line)
		}
		got = append(got, entry["level"]+" "+entry["message"]+" "+entry["component"]+" "+entry["policy"])
	}
	want := []string{"debug one audit-scanner ", "info two audit-scanner ", "warning three audit-scanner kw.cap.a", "error four audit-scanner "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAuditScannerLeavesASummaryAlsoOfAScanThatFailed(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join("testdata", "unreachable.kubeconfig"))
	file := filepath.Join(t.TempDir(), "summary")
	if err := executeAuditScanner(io.Discard, []string{"--summary-file", file}); err == nil {
		t.Fatal("a cluster that cannot be reached was scanned")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	left := operatorv1alpha1.AuditSummary{}
	if err := json.Unmarshal(content, &left); err != nil || !strings.Contains(left.Problem, "connection refused") {
		t.Errorf("error %v, left is %s", err, content)
	}
	missing := filepath.Join(t.TempDir(), "missing", "summary")
	if err := executeAuditScanner(io.Discard, []string{"--summary-file", missing}); err == nil || !strings.Contains(err.Error(), "--summary-file: open "+missing) {
		t.Errorf("error = %v", err)
	}
}

func TestAuditLogAsText(t *testing.T) {
	var out bytes.Buffer
	log, err := auditLogger(&out, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Warn("three things", "policy", "kw.cap.a")
	if _, rest, _ := strings.Cut(out.String(), " "); rest != "level=warning message=\"three things\" component=audit-scanner policy=kw.cap.a\n" {
		t.Errorf("log: %s", out.String())
	}
}
