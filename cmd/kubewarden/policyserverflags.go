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
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

// policyServerFlags are the command line of a policy server. Names, variables and
// defaults are upstream's where upstream has them (policy-server: cli.rs).
type policyServerFlags struct {
	address                                string
	port, readinessPort, metricsPort       uint16
	enableMetrics                          bool
	certFile, keyFile                      string
	clientCAFiles, operatorCAFiles         string
	clientCAMode                           string
	policies, sources, downloadDir         string
	dockerConfigDir, verification          string
	logLevel, logFormat                    string
	workers, queueLimit                    int
	maxBodyBytes                           int64
	policyTimeout                          uint32
	disableTimeout                         bool
	drainPeriod, startupPatience           time.Duration
	acceptNamespace                        string
	namespace, configMap, reports, replica string
	sigstoreCacheDir, sigstoreTrust        string
	enablePprof                            bool
	isolation                              string
	hostDNSTTL, hostOCITTL                 time.Duration
	hostMaxPayload, hostMaxReply           int
	upstream                               upstreamFlags
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
	"client-ca-mode":          contract.EnvClientCAMode,
	"operator-ca-file":        contract.EnvOperatorCAFile,
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
	"startup-patience":        contract.EnvStartupPatience,
	"isolation":               contract.EnvIsolation,
	"host-dns-ttl":            contract.EnvHostDNSTTL,
	"host-oci-ttl":            contract.EnvHostOCITTL,
	"host-max-payload-bytes":  contract.EnvHostMaxPayload,
	"host-max-reply-bytes":    contract.EnvHostMaxReply,
	"namespace":               contract.EnvNamespace,
	"config-map":              contract.EnvConfigMap,
	"report-config-map":       contract.EnvReportConfigMap,
	"replica":                 contract.EnvReplica,
	"continue-on-errors":      contract.EnvContinueOnErrors,
	"sigstore-cache-dir":      contract.EnvSigstoreCacheDir,
	"sigstore-trust-config":   contract.EnvSigstoreTrust,
	"enable-pprof":            contract.EnvEnablePprof,
	"daemon":                  contract.EnvDaemon,
	"daemon-pid-file":         contract.EnvDaemonPIDFile,
	"daemon-stdout-file":      contract.EnvDaemonStdoutFile,
	"daemon-stderr-file":      contract.EnvDaemonStderrFile,

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
	flags.Var(number(&f.port, 3000, 1, 65535), "port", "port of the API")
	flags.Var(number(&f.readinessPort, contract.PortReadiness, 1, 65535), "readiness-probe-port", "port of the readiness probe, always plain HTTP")
	boolFlag(flags, &f.enableMetrics, "enable-metrics", "serve metrics for Prometheus, and push them where OTEL_EXPORTER_OTLP_ENDPOINT names a collector")
	flags.Var(number(&f.metricsPort, contract.PortMetrics, 1, 65535), "metrics-port", "port of the metrics, always plain HTTP")
	flags.StringVar(&f.certFile, "cert-file", "", "PEM file of the serving certificate; goes with --key-file, without both the API is plain HTTP")
	flags.StringVar(&f.keyFile, "key-file", "", "PEM file of the serving certificate's key")
	flags.StringVar(&f.clientCAFiles, "client-ca-file", "", "comma-separated PEM files of authorities; with any, clients need a certificate of one of them")
	flags.Var(choice(&f.clientCAMode, contract.ClientsRequired, contract.ClientsObserved), "client-ca-mode",
		"what becomes of clients without a certificate of --client-ca-file: require refuses them, observe lets them in and tells of them")
	flags.StringVar(&f.operatorCAFiles, "operator-ca-file", "",
		"comma-separated PEM files of authorities, which may come later; who has a certificate of one of them for "+contract.OperatorIdentity+
			" may have settings checked, and who has one for that or for "+contract.AuditScannerIdentity+" needs none of --client-ca-file")
	flags.StringVar(&f.policies, "policies", "policies.yml", "file with the policies")
	flags.StringVar(&f.sources, "sources-path", "", "file that says which sources are trusted how")
	flags.StringVar(&f.verification, "verification-path", "", "file with the signatures that modules must have; it is read again when it changes")
	flags.StringVar(&f.sigstoreCacheDir, "sigstore-cache-dir", "sigstore-data", "folder where the public trust root of Sigstore is kept, for --verification-path without --sigstore-trust-config")
	flags.StringVar(&f.sigstoreTrust, "sigstore-trust-config", "", "file with a trust root of Sigstore in the place of the public one, for --verification-path; it is read again when it changes")
	flags.StringVar(&f.downloadDir, "policies-download-dir", ".", "folder where modules are kept")
	flags.StringVar(&f.dockerConfigDir, "docker-config-json-path", "", "folder that holds config.json with the credentials of registries")
	flags.StringVar(&f.namespace, "namespace", "", "namespace of --config-map and --report-config-map")
	flags.StringVar(&f.configMap, "config-map", "", "ConfigMap with the policies, instead of --policies")
	flags.StringVar(&f.reports, "report-config-map", "", "ConfigMap to report in what is served")
	flags.StringVar(&f.replica, "replica", "", "key of the report: the name of the Pod")
	flags.Var(number(&f.workers, workersPerCPU*runtime.GOMAXPROCS(0), 1, 0), "workers", "number of requests that are evaluated at the same time")
	flags.Var(number(&f.queueLimit, 512, 0, 0), "queue-limit", "number of requests that may wait; others are told to come back")
	flags.Var(number(&f.maxBodyBytes, 8<<20, 1, 0), "max-body-bytes", "largest body of a request, in bytes")
	flags.Var(number(&f.policyTimeout, 2, 1, 0), "policy-timeout", "seconds that a policy may take for a request")
	boolFlag(flags, &f.disableTimeout, "disable-timeout-protection", "let policies without a timeout of their own take as long as they want")
	flags.Var(duration(&f.startupPatience, 5*time.Minute), "startup-patience",
		"how long policies that cannot be fetched keep a server that has just begun from being ready; 0s is for ever")
	flags.Var(choice(&f.isolation, string(policy.IsolationPristine), string(policy.IsolationFresh)), "isolation",
		"how each request gets an instance of its policy: put back to what it was before any request, or made for it")
	flags.Var(duration(&f.hostDNSTTL, 0), "host-dns-ttl", "how long the addresses that policies look up are kept; 0s asks each time")
	flags.Var(duration(&f.hostOCITTL, time.Minute), "host-oci-ttl", "how long what policies learn of images from registries is kept; 0s asks each time")
	flags.Var(number(&f.hostMaxPayload, host.UsualPayload, 1, 0), "host-max-payload-bytes", "most that a policy may send to the host with one call, in bytes")
	flags.Var(number(&f.hostMaxReply, host.UsualReply, 1, 0), "host-max-reply-bytes", "most that a policy may get from the host for one call, in bytes; it has to hold that in its memory")
	flags.Var(duration(&f.drainPeriod, 10*time.Second), "drain-period", "how long to go on answering after SIGTERM")
	flags.StringVar(&f.acceptNamespace, "always-accept-admission-reviews-on-namespace", "", "namespace whose requests are all accepted")
	flags.Var(choice(&f.logLevel, "info", "trace", "debug", "warn", "error"), "log-level", "least level of log lines")
	flags.Var(choice(&f.logFormat, telemetry.FormatText, telemetry.FormatJSON, telemetry.FormatOTLP), "log-fmt", "format of log lines; otlp is text, and pushes lines and traces to a collector")
	boolFlag(flags, &f.enablePprof, "enable-pprof", "serve profiles of the process under /debug/pprof/ on the API port")
	f.upstream.define(flags)
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
	case f.operatorCAFiles != "" && f.certFile == "":
		return errors.New("--operator-ca-file needs --cert-file and --key-file: without TLS nobody can prove to be the operator")
	case live && f.namespace == "":
		return errors.New("--config-map needs --namespace")
	case live && (flags.Changed("policies") || flags.Changed("sources-path")):
		return errors.New("--config-map cannot go with --policies or --sources-path: policies come from one place")
	case !live && f.reports != "":
		return errors.New("--report-config-map needs --config-map")
	case f.reports != "" && f.replica == "":
		return errors.New("--report-config-map needs --replica")
	}
	if err := f.upstream.check(); err != nil {
		return err
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
		case other != "":
			return fmt.Errorf("%s and %s are both %d", other, port.name, port.number)
		default:
			taken[port.number] = port.name
		}
	}
	return nil
}
