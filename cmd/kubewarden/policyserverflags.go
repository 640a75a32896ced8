package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

// policyServerFlags are the command line of a policy server. Names, variables and
// defaults are upstream's where upstream has them (policy-server: cli.rs).
type policyServerFlags struct {
	address                                  string
	port, readinessPort, metricsPort         uint16
	enableMetrics                            bool
	certFile, keyFile, clientCAFiles         string
	policies, sources, downloadDir           string
	dockerConfigDir, verification            string
	logLevel, logFormat                      string
	workers, queueLimit                      int
	maxBodyBytes                             int64
	policyTimeout                            uint32
	disableTimeout                           bool
	drainPeriod                              time.Duration
	acceptNamespace                          string
	namespace, configMap, reports, replica   string
	noColor, continueOnErrors, ignoreCluster bool
}

// policyServerEnv gives each flag its variable.
var policyServerEnv = map[string]string{
	"addr":                    contract.EnvBindAddress,
	"port":                    contract.EnvPort,
	"readiness-probe-port":    contract.EnvReadinessPort,
	"metrics-port":            contract.EnvMetricsPort,
	"enable-metrics":          contract.EnvEnableMetrics,
	"cert-file":               contract.EnvCertFile,
	"key-file":                contract.EnvKeyFile,
	"client-ca-file":          contract.EnvClientCAFile,
	"policies":                contract.EnvPolicies,
	"policies-download-dir":   contract.EnvDownloadDir,
	"sources-path":            contract.EnvSourcesPath,
	"verification-path":       contract.EnvVerificationPath,
	"docker-config-json-path": contract.EnvDockerConfigDir,
	"log-level":               contract.EnvLogLevel,
	"log-fmt":                 contract.EnvLogFormat,
	"log-no-color":            contract.EnvNoColor,
	"workers":                 contract.EnvWorkers,
	"queue-limit":             contract.EnvQueueLimit,
	"max-body-bytes":          contract.EnvMaxBodyBytes,
	"policy-timeout":          contract.EnvPolicyTimeout,
	"drain-period":            contract.EnvDrainPeriod,
	"namespace":               contract.EnvNamespace,
	"config-map":              contract.EnvConfigMap,
	"report-config-map":       contract.EnvReportConfigMap,
	"replica":                 contract.EnvReplica,
	"continue-on-errors":      contract.EnvContinueOnErrors,

	"disable-timeout-protection":                   contract.EnvDisableTimeout,
	"always-accept-admission-reviews-on-namespace": contract.EnvAlwaysAccept,
	"ignore-kubernetes-connection-failure":         contract.EnvIgnoreKubernetes,
}

// workersPerCPU is how many evaluations run at the same time by default. More than one:
// an evaluation may wait for the host, and must not keep the others from the processor.
const workersPerCPU = 4

func (f *policyServerFlags) define(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&f.address, "addr", "0.0.0.0", "IP address to listen on; IPv6 is written [::]")
	flags.Uint16Var(&f.port, "port", 3000, "port of the API")
	flags.Uint16Var(&f.readinessPort, "readiness-probe-port", contract.PortReadiness, "port of the readiness probe, always plain HTTP")
	boolFlag(flags, &f.enableMetrics, "enable-metrics", "serve metrics for Prometheus")
	flags.Uint16Var(&f.metricsPort, "metrics-port", contract.PortMetrics, "port of the metrics, always plain HTTP")
	flags.StringVar(&f.certFile, "cert-file", "", "PEM file of the serving certificate; goes with --key-file, without both the API is plain HTTP")
	flags.StringVar(&f.keyFile, "key-file", "", "PEM file of the serving certificate's key")
	flags.StringVar(&f.clientCAFiles, "client-ca-file", "", "comma-separated PEM files of authorities; with any, clients need a certificate of one of them")
	flags.StringVar(&f.policies, "policies", "policies.yml", "file with the policies")
	flags.StringVar(&f.sources, "sources-path", "", "file that says which sources are trusted how")
	flags.StringVar(&f.verification, "verification-path", "", "file with the signatures that modules must have (not supported yet)")
	flags.StringVar(&f.downloadDir, "policies-download-dir", ".", "folder where modules are kept")
	flags.StringVar(&f.dockerConfigDir, "docker-config-json-path", "", "folder that holds config.json with the credentials of registries")
	flags.StringVar(&f.namespace, "namespace", "", "namespace of --config-map and --report-config-map")
	flags.StringVar(&f.configMap, "config-map", "", "ConfigMap with the policies, instead of --policies")
	flags.StringVar(&f.reports, "report-config-map", "", "ConfigMap to report in what is served")
	flags.StringVar(&f.replica, "replica", "", "key of the report: the name of the Pod")
	flags.IntVar(&f.workers, "workers", workersPerCPU*runtime.GOMAXPROCS(0), "number of requests that are evaluated at the same time")
	flags.IntVar(&f.queueLimit, "queue-limit", 512, "number of requests that may wait; others are told to come back")
	flags.Int64Var(&f.maxBodyBytes, "max-body-bytes", 8<<20, "largest body of a request, in bytes")
	flags.Uint32Var(&f.policyTimeout, "policy-timeout", 2, "seconds that a policy may take for a request")
	boolFlag(flags, &f.disableTimeout, "disable-timeout-protection", "let policies without a timeout of their own take as long as they want")
	flags.DurationVar(&f.drainPeriod, "drain-period", 10*time.Second, "how long to go on answering after SIGTERM")
	flags.StringVar(&f.acceptNamespace, "always-accept-admission-reviews-on-namespace", "", "namespace whose requests are all accepted")
	flags.Var(choice(&f.logLevel, "info", "trace", "debug", "warn", "error"), "log-level", "least level of log lines")
	flags.Var(choice(&f.logFormat, telemetry.FormatText, telemetry.FormatJSON, telemetry.FormatOTLP), "log-fmt", "format of log lines; otlp is text, and pushes lines and traces to a collector")

	// Accepted because upstream's scripts give them; each is how this server works anyway.
	flags.Var((*presence)(&f.noColor), "log-no-color", "log lines are never coloured")
	boolFlag(flags, &f.continueOnErrors, "continue-on-errors", "a policy that fails never stops the others")
	boolFlag(flags, &f.ignoreCluster, "ignore-kubernetes-connection-failure", "policies from a file need no cluster")
	flags.Lookup("log-no-color").NoOptDefVal = "true"
	for _, name := range []string{"log-no-color", "continue-on-errors", "ignore-kubernetes-connection-failure"} {
		flags.Lookup(name).Hidden = true
	}
}

// check refuses what contradicts itself. Upstream's words are kept where it has some.
func (f *policyServerFlags) check(flags *pflag.FlagSet) error {
	address, err := netip.ParseAddr(strings.Trim(f.address, "[]"))
	live := f.configMap != ""
	switch {
	case err != nil:
		return fmt.Errorf("--addr is %q; allowed are IP addresses, IPv6 in brackets", f.address)
	case address.Is6() != strings.HasPrefix(f.address, "["):
		return fmt.Errorf("--addr is %q; IPv6 addresses, and only those, are written in brackets", f.address)
	case (f.certFile == "") != (f.keyFile == ""):
		return errors.New("both certificate and key must be provided together (--cert-file, --key-file)")
	case f.clientCAFiles != "" && f.certFile == "":
		return errors.New("client CA certificate requires server certificate and key to be specified (--client-ca-file, --cert-file, --key-file)")
	case f.verification != "":
		return errors.New("--verification-path: signatures are not verified by this version; it does not start rather than serve unverified modules")
	case f.workers < 1:
		return fmt.Errorf("--workers is %d; allowed are 1 and more", f.workers)
	case f.queueLimit < 0:
		return fmt.Errorf("--queue-limit is %d; allowed are 0 and more", f.queueLimit)
	case f.maxBodyBytes < 1:
		return fmt.Errorf("--max-body-bytes is %d; allowed are 1 and more", f.maxBodyBytes)
	case f.policyTimeout < 1:
		return errors.New("--policy-timeout is 0; allowed are 1 and more seconds, or --disable-timeout-protection")
	case f.drainPeriod < 0:
		return fmt.Errorf("--drain-period is %s; allowed are 0s and more", f.drainPeriod)
	case live && f.namespace == "":
		return errors.New("--config-map needs --namespace")
	case live && (flags.Changed("policies") || flags.Changed("sources-path")):
		return errors.New("--config-map cannot go with --policies or --sources-path: policies come from one place")
	case !live && f.reports != "":
		return errors.New("--report-config-map needs --config-map")
	case f.reports != "" && f.replica == "":
		return errors.New("--report-config-map needs --replica")
	}
	return f.checkPorts()
}

func (f *policyServerFlags) checkPorts() error {
	taken := map[uint16]string{}
	for _, port := range []struct {
		name   string
		number uint16
		used   bool
	}{{"--port", f.port, true}, {"--readiness-probe-port", f.readinessPort, true}, {"--metrics-port", f.metricsPort, f.enableMetrics}} {
		switch other := taken[port.number]; {
		case !port.used:
		case port.number == 0:
			return fmt.Errorf("%s is 0; allowed are 1 to 65535", port.name)
		case other != "":
			return fmt.Errorf("%s and %s are both %d", other, port.name, port.number)
		default:
			taken[port.number] = port.name
		}
	}
	return nil
}
