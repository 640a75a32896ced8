package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/kubewarden/kubewarden-operator/policyserver"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/trustroot"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

// parse reads a command line and variables as the command does.
func parse(arguments []string, variables map[string]string) (policyServerFlags, error) {
	var flags policyServerFlags
	set := pflag.NewFlagSet("policy-server", pflag.ContinueOnError)
	flags.define(set)
	if err := set.Parse(arguments); err != nil {
		return flags, err
	}
	if err := applyEnv(set, policyServerEnv, func(name string) string { return variables[name] }); err != nil {
		return flags, err
	}
	return flags, flags.check(set)
}

func TestPolicyServerConfig(t *testing.T) {
	base := func(change func(*policyserver.Config)) policyserver.Config {
		config := policyserver.Config{
			Version: version, APIAddress: "0.0.0.0:3000", ReadinessAddress: "0.0.0.0:8081",
			MaxBodyBytes: 8 << 20, Workers: 3, QueueLimit: 512, DrainPeriod: 10 * time.Second, StartupPatience: 5 * time.Minute, PolicyTimeout: 2 * time.Second,
			Isolation:   policy.IsolationPristine,
			DownloadDir: ".", PublicTrust: trustroot.Config{Dir: "sigstore-data"},
			Capabilities: policyserver.Capabilities{OCITTL: time.Minute, Limits: host.Limits{Payload: 1 << 20, Reply: 32 << 20}}, Files: &policyserver.Files{Policies: "policies.yml"},
		}
		change(&config)
		return config
	}
	for name, tc := range map[string]struct {
		arguments []string
		variables map[string]string
		want      func(*policyserver.Config)
	}{
		"defaults": {want: func(*policyserver.Config) {}},
		"what upstream's operator gives": {
			variables: map[string]string{
				"KUBEWARDEN_CERT_FILE": "/pki/tls.crt", "KUBEWARDEN_KEY_FILE": "/pki/tls.key", "KUBEWARDEN_PORT": "8443",
				"KUBEWARDEN_READINESS_PROBE_PORT": "8081", "KUBEWARDEN_POLICIES_DOWNLOAD_DIR": "/tmp", "KUBEWARDEN_POLICIES": "/config/policies.yml",
				"KUBEWARDEN_SIGSTORE_CACHE_DIR": "/tmp/sigstore-data", "KUBEWARDEN_ENABLE_METRICS": "true", "KUBEWARDEN_LOG_LEVEL": "debug",
				"KUBEWARDEN_SOURCES_PATH": "/sources/sources.yml", "KUBEWARDEN_CLIENT_CA_FILE": "/ca/ca.crt, /client-ca/ca.crt",
			},
			want: func(c *policyserver.Config) {
				c.APIAddress, c.MetricsAddress, c.DownloadDir = "0.0.0.0:8443", "0.0.0.0:8080", "/tmp"
				c.PublicTrust.Dir = "/tmp/sigstore-data"
				c.Files = &policyserver.Files{Policies: "/config/policies.yml", Sources: "/sources/sources.yml"}
				c.Certificates = &server.CertificateFiles{
					Certificate: "/pki/tls.crt", Key: "/pki/tls.key", ClientCAs: []string{"/ca/ca.crt", "/client-ca/ca.crt"},
					ClientCAMode: "require",
				}
			},
		},
		"the command line beats variables": {
			arguments: []string{"--port=1", "--enable-metrics=no", "--log-level", "error"},
			variables: map[string]string{"KUBEWARDEN_PORT": "2", "KUBEWARDEN_ENABLE_METRICS": "on", "KUBEWARDEN_LOG_LEVEL": "trace", "KUBEWARDEN_DRAIN_PERIOD": "3s"},
			want:      func(c *policyserver.Config) { c.APIAddress, c.DrainPeriod = "0.0.0.0:1", 3*time.Second },
		},
		"IPv6": {
			arguments: []string{"--addr", "[::]"},
			want:      func(c *policyserver.Config) { c.APIAddress, c.ReadinessAddress = "[::]:3000", "[::]:8081" },
		},
		"no timeout": {
			arguments: []string{"--disable-timeout-protection"},
			want:      func(c *policyserver.Config) { c.PolicyTimeout = 0 },
		},
		"an accepted namespace and a timeout": {
			arguments: []string{"--always-accept-admission-reviews-on-namespace=safe", "--policy-timeout", "7"},
			want:      func(c *policyserver.Config) { c.AcceptNamespace, c.PolicyTimeout = "safe", 7*time.Second },
		},
		"profiles": {
			variables: map[string]string{"KUBEWARDEN_ENABLE_PPROF": "1"},
			want:      func(c *policyserver.Config) { c.Profiles = true },
		},
		"signatures": {
			arguments: []string{"--verification-path=v", "--sigstore-trust-config=t", "--sigstore-cache-dir=d"},
			want: func(c *policyserver.Config) {
				c.Verification, c.SigstoreTrust, c.PublicTrust.Dir = "v", "t", "d"
			},
		},
		"flags that change nothing": {
			arguments: []string{
				"--log-no-color", "--continue-on-errors", "--ignore-kubernetes-connection-failure", "--daemon=false",
				"--daemon-pid-file=a", "--daemon-stdout-file=b", "--daemon-stderr-file=c",
			},
			variables: map[string]string{"NO_COLOR": "anything"},
			want:      func(*policyserver.Config) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			flags, err := parse(append([]string{"--workers=3"}, tc.arguments...), tc.variables)
			if err != nil {
				t.Fatal(err)
			}
			got, err := flags.config(slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ignored := cmpopts.IgnoreFields(policyserver.Config{}, "Keychain", "Logger", "Now")
			if diff := cmp.Diff(base(tc.want), got, ignored); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPolicyServerFlagsRefuse(t *testing.T) {
	for name, tc := range map[string]struct {
		arguments []string
		variables map[string]string
		want      string
	}{
		"unknown flag":                  {[]string{"--colour"}, nil, "unknown flag: --colour"},
		"host name for an address":      {[]string{"--addr=localhost"}, nil, `--addr is "localhost"; allowed are IP addresses`},
		"IPv6 without brackets":         {[]string{"--addr=::"}, nil, "written in brackets"},
		"IPv4 in brackets":              {[]string{"--addr=[0.0.0.0]"}, nil, "written in brackets"},
		"port that is a word":           {nil, map[string]string{"KUBEWARDEN_PORT": "https"}, `environment variable KUBEWARDEN_PORT: "https" is not allowed; allowed are whole numbers from 1 to 65535`},
		"port beyond 65535":             {[]string{"--port=65536"}, nil, "65536"},
		"port of zero":                  {[]string{"--port=0"}, nil, `"0" is not allowed; allowed are whole numbers from 1 to 65535`},
		"two on one port":               {[]string{"--port=8081"}, nil, "--port and --readiness-probe-port are both 8081"},
		"metrics on a taken port":       {[]string{"--metrics-port=3000", "--enable-metrics"}, nil, "--port and --metrics-port are both 3000"},
		"certificate without key":       {[]string{"--cert-file=a"}, nil, "both certificate and key must be provided together"},
		"key without certificate":       {nil, map[string]string{"KUBEWARDEN_KEY_FILE": "a"}, "both certificate and key must be provided together"},
		"client CA without certificate": {[]string{"--client-ca-file=a"}, nil, "client CA certificate requires server certificate and key to be specified"},
		"operator CA without TLS":       {[]string{"--operator-ca-file=a"}, nil, "--operator-ca-file needs --cert-file and --key-file"},
		"boolean of another kind":       {nil, map[string]string{"KUBEWARDEN_ENABLE_METRICS": "maybe"}, `"maybe" is no boolean; allowed are true, false, 1, 0, yes, no, on, off`},
		"log level of another kind":     {[]string{"--log-level=loud"}, nil, `"loud" is not allowed; allowed are info, trace, debug, warn, error`},
		"log format of another kind":    {nil, map[string]string{"KUBEWARDEN_LOG_FMT": "logfmt"}, `environment variable KUBEWARDEN_LOG_FMT: "logfmt" is not allowed; allowed are text, json, otlp`},
		"no workers":                    {[]string{"--workers=0"}, nil, `"0" is not allowed; allowed are whole numbers, 1 and more`},
		"workers that are a word":       {[]string{"--workers=many"}, nil, `invalid argument "many" for "--workers"`},
		"queue below zero":              {[]string{"--queue-limit=-1"}, nil, `"-1" is not allowed; allowed are whole numbers, 0 and more`},
		"no body":                       {[]string{"--max-body-bytes=0"}, nil, `for "--max-body-bytes" flag: "0" is not allowed`},
		"timeout of zero":               {[]string{"--policy-timeout=0"}, nil, `for "--policy-timeout" flag: "0" is not allowed`},
		"drain period below zero":       {[]string{"--drain-period=-1s"}, nil, `"-1s" is not allowed; allowed are durations such as 10s or 1m30s, 0s and more`},
		"ConfigMap without namespace":   {[]string{"--config-map=a"}, nil, "--config-map needs --namespace"},
		"ConfigMap and file":            {[]string{"--config-map=a", "--namespace=b", "--policies=c"}, nil, "policies come from one place"},
		"timeout beyond any":            {[]string{"--policy-timeout=4294967296"}, nil, `"4294967296" is not allowed`},
		"daemon":                        {nil, map[string]string{"KUBEWARDEN_DAEMON": "on"}, "--daemon is on: the server stays in the foreground; start it without --daemon under systemd"},
		"report without ConfigMap":      {[]string{"--report-config-map=a"}, nil, "--report-config-map needs --config-map"},
		"report without replica":        {[]string{"--config-map=a", "--namespace=b", "--report-config-map=c"}, nil, "--report-config-map needs --replica"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(tc.arguments, tc.variables); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

func TestBooleanFlags(t *testing.T) {
	for text, want := range map[string]bool{
		"true": true, "1": true, "yes": true, "on": true, "TRUE": true, "false": false, "0": false, "no": false, "Off": false,
	} {
		flags, err := parse(nil, map[string]string{"KUBEWARDEN_ENABLE_METRICS": text})
		if err != nil || flags.enableMetrics != want {
			t.Errorf("%s: got %t, error %v; want %t", text, flags.enableMetrics, err, want)
		}
	}
	if flags, err := parse([]string{"--enable-metrics"}, nil); err != nil || !flags.enableMetrics {
		t.Errorf("got %t, error %v for the flag alone, want true", flags.enableMetrics, err)
	}
}

func TestEveryPolicyServerVariableHasAFlag(t *testing.T) {
	command := policyServerCommand()
	for name, variable := range policyServerEnv {
		flag := command.Flags().Lookup(name)
		if flag == nil || !strings.Contains(flag.Usage, variable) {
			t.Errorf("%s: got flag %v, want one whose help names %s", name, flag, variable)
		}
	}
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if _, found := policyServerEnv[flag.Name]; !found && !strings.HasPrefix(flag.Name, "version") {
			t.Errorf("--%s has no variable", flag.Name)
		}
	})
}
