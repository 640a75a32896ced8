package contract

// Version is the number of this contract. It stands in the ConfigMap of a policy server
// (key KeyContract) and in each replica's report. Keys are only ever added.
const Version = 1

// Keys of the ConfigMap policy-server-<name>. The first two are upstream's.
const (
	KeyPolicies = "policies.yml"
	KeySources  = "sources.yml"
	KeyContract = "contract"
	// KeyLastGood holds the revisions that are served where the wanted ones cannot be loaded.
	KeyLastGood = "last-good.yml"
	// KeyReportLimit holds ReportLimit in bytes as a decimal number; absent means
	// MaxReportBytes.
	KeyReportLimit = "report-limit"
)

// Ports of a policy server. The first three are upstream's defaults
// (controller: constants.go).
const (
	PortWebhook   = 8443
	PortReadiness = 8081
	PortMetrics   = 8080
	// PortService is the port of the Service that API servers call.
	PortService = 443
)

// PathReadiness is the plain HTTP path of the readiness probe; upstream's.
const PathReadiness = "/readiness"

// HeaderVerdictRevision is a header of answers to an audit. It names the revision of the
// policy (Served.Revision) from which, and from the request, the verdict follows; without
// it the verdict may be another one the next time.
const HeaderVerdictRevision = "Kubewarden-Verdict-Revision"

// Places in the container of a policy server; upstream's mount points.
const (
	DirTLS             = "/pki"
	FileTLSCertificate = DirTLS + "/tls.crt"
	FileTLSKey         = DirTLS + "/tls.key"
	DirOperatorCA      = "/operator-ca"
	DirCA              = "/ca"
	DirClientCA        = "/client-ca"
	DirConfig          = "/config"
	FilePolicies       = DirConfig + "/policies.yml"
	DirSources         = "/sources"
	FileSources        = DirSources + "/sources.yml"
	DirDockerConfig    = "/home/kubewarden/.docker"
	DirVerification    = "/verification"
	FileVerification   = DirVerification + "/verification.yml"
	DirSigstoreTrust   = "/sigstore-trust"
	FileSigstoreTrust  = DirSigstoreTrust + "/sigstore-trust-config.json"
	DirScratch         = "/tmp"
	DirSigstoreCache   = DirScratch + "/sigstore-data"
)

// Environment variables of a policy server; each is also a flag. Those of the first
// block are upstream's (policy-server: cli.rs).
const (
	EnvBindAddress      = "KUBEWARDEN_BIND_ADDRESS"
	EnvPort             = "KUBEWARDEN_PORT"
	EnvReadinessPort    = "KUBEWARDEN_READINESS_PROBE_PORT"
	EnvWorkers          = "KUBEWARDEN_WORKERS"
	EnvCertFile         = "KUBEWARDEN_CERT_FILE"
	EnvKeyFile          = "KUBEWARDEN_KEY_FILE"
	EnvClientCAFile     = "KUBEWARDEN_CLIENT_CA_FILE"
	EnvPolicies         = "KUBEWARDEN_POLICIES"
	EnvDownloadDir      = "KUBEWARDEN_POLICIES_DOWNLOAD_DIR"
	EnvSourcesPath      = "KUBEWARDEN_SOURCES_PATH"
	EnvVerificationPath = "KUBEWARDEN_VERIFICATION_CONFIG_PATH"
	EnvDockerConfigDir  = "KUBEWARDEN_DOCKER_CONFIG_JSON_PATH"
	EnvSigstoreCacheDir = "KUBEWARDEN_SIGSTORE_CACHE_DIR"
	EnvSigstoreTrust    = "KUBEWARDEN_SIGSTORE_TRUST_CONFIG_PATH"
	EnvEnableMetrics    = "KUBEWARDEN_ENABLE_METRICS"
	EnvLogLevel         = "KUBEWARDEN_LOG_LEVEL"
	EnvLogFormat        = "KUBEWARDEN_LOG_FMT"
	EnvNoColor          = "NO_COLOR"
	EnvPolicyTimeout    = "KUBEWARDEN_POLICY_TIMEOUT"
	EnvDisableTimeout   = "KUBEWARDEN_DISABLE_TIMEOUT_PROTECTION"
	EnvAlwaysAccept     = "KUBEWARDEN_ALWAYS_ACCEPT_ADMISSION_REVIEWS_ON_NAMESPACE"
	EnvIgnoreKubernetes = "KUBEWARDEN_IGNORE_KUBERNETES_CONNECTION_FAILURE"
	EnvEnablePprof      = "KUBEWARDEN_ENABLE_PPROF"
	EnvContinueOnErrors = "KUBEWARDEN_CONTINUE_ON_ERRORS"
	EnvDaemon           = "KUBEWARDEN_DAEMON"
	EnvDaemonPIDFile    = "KUBEWARDEN_DAEMON_PID_FILE"
	EnvDaemonStdoutFile = "KUBEWARDEN_DAEMON_STDOUT_FILE"
	EnvDaemonStderrFile = "KUBEWARDEN_DAEMON_STDERR_FILE"

	// EnvNamespace and EnvConfigMap switch a server to the live mode: it watches that
	// ConfigMap through the API instead of reading EnvPolicies.
	EnvNamespace = "KUBEWARDEN_NAMESPACE"
	EnvConfigMap = "KUBEWARDEN_CONFIG_MAP"
	// EnvReportConfigMap names the ConfigMap that takes the replica reports, EnvReplica
	// the key in it: the Pod's name.
	EnvReportConfigMap = "KUBEWARDEN_REPORT_CONFIG_MAP"
	EnvReplica         = "KUBEWARDEN_REPLICA"
	// EnvOperatorCAFile names the authorities of the client certificates of the operator and
	// of the audit scanner.
	EnvOperatorCAFile = "KUBEWARDEN_OPERATOR_CA_FILE"
	// EnvClientCAMode says what becomes of clients without a certificate of EnvClientCAFile.
	EnvClientCAMode = "KUBEWARDEN_CLIENT_CA_MODE"
	// EnvMetricsPort is the port of the Prometheus endpoint.
	EnvMetricsPort = "KUBEWARDEN_METRICS_PORT"
	// EnvMaxBodyBytes bounds the body of a request, EnvQueueLimit the requests that wait
	// for a worker, EnvDrainPeriod how long a stopping server goes on to answer.
	EnvMaxBodyBytes = "KUBEWARDEN_MAX_BODY_BYTES"
	EnvQueueLimit   = "KUBEWARDEN_QUEUE_LIMIT"
	EnvDrainPeriod  = "KUBEWARDEN_DRAIN_PERIOD"
	// EnvStartupPatience is how long a policy that cannot be fetched keeps a fresh replica
	// from being ready.
	EnvStartupPatience = "KUBEWARDEN_STARTUP_PATIENCE"
	// EnvIsolation is how each request gets an instance of its policy.
	EnvIsolation = "KUBEWARDEN_ISOLATION"
	// EnvHostDNSTTL is how long what policies looked up by way of the host is kept.
	EnvHostDNSTTL = "KUBEWARDEN_HOST_DNS_TTL"
	// EnvHostOCITTL is how long what policies learnt of images by way of the host is kept.
	EnvHostOCITTL = "KUBEWARDEN_HOST_OCI_TTL"
	// EnvHostMaxPayload and EnvHostMaxReply bound what policies send to the host and get from it.
	EnvHostMaxPayload = "KUBEWARDEN_HOST_MAX_PAYLOAD_BYTES"
	EnvHostMaxReply   = "KUBEWARDEN_HOST_MAX_REPLY_BYTES"
)

// ConfigMapName is the ConfigMap, and the base name of every child, of a PolicyServer.
func ConfigMapName(policyServer string) string { return "policy-server-" + policyServer }

// ReportConfigMapName is the ConfigMap that the replicas of a PolicyServer report in.
func ReportConfigMapName(policyServer string) string {
	return "policy-server-" + policyServer + "-replicas"
}
