package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/audit/scan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// auditFlags are the flags of the audit scanner; names, shorthands and defaults are
// upstream's, except that the log level has a default that works.
type auditFlags struct {
	namespace, kubewardenNamespace, policyServerURL string
	cluster, outputScan, insecure, disableStore     bool
	ignoreNamespaces                                []string
	logLevel, reportKind                            string
	extraCA, clientCert, clientKey                  string
	parallelNamespaces, parallelResources           int
	parallelPolicies                                int
	pageSize                                        int64

	// What upstream's scanner does not know.
	exemptNamespaces, operations []string
	matchCondition               string
	logFormat, summaryFile       string
}

// progressEvery is how often the log tells how far a scan is.
const progressEvery = 15 * time.Second

// maxConnections bounds the connections to one policy server, whatever the flags multiply
// to: more questions at once would only queue there, and be refused.
const maxConnections = 128

func auditScannerCommand() *cobra.Command {
	flags := &auditFlags{}
	command := &cobra.Command{
		Use:   "audit-scanner",
		Short: "Scan once: ask the policies about what exists, and write reports",
		Long: `Scan once: list what exists in the cluster, ask the policy servers what they would say if
it were created now, and write one report per object. The cluster is the one of the Pod,
of KUBECONFIG or of ~/.kube/config.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return flags.run(ctx, command.OutOrStdout())
		},
	}
	f := command.Flags()
	f.StringVarP(&flags.namespace, "namespace", "n", "", "scan this namespace only")
	f.BoolVarP(&flags.cluster, "cluster", "c", false, "scan only what lives in no namespace")
	f.StringVarP(&flags.kubewardenNamespace, "kubewarden-namespace", "k", "kubewarden", "namespace of the policy servers; only policies that judge requests in it are asked about what is there")
	f.StringVarP(&flags.policyServerURL, "policy-server-url", "u", "", "URL to ask instead of the Services of the policy servers, to which /audit/<policy> is appended")
	f.StringVarP(&flags.logLevel, "loglevel", "l", "info", "level of the log: debug, info, warning, error")
	f.BoolVarP(&flags.outputScan, "output-scan", "o", false, "log every report as JSON")
	f.StringSliceVarP(&flags.ignoreNamespaces, "ignore-namespaces", "i", nil, "namespaces to leave out, separated by commas; may be given several times")
	f.BoolVar(&flags.insecure, "insecure-ssl", false, "trust any certificate of a policy server")
	f.StringVarP(&flags.extraCA, "extra-ca", "f", "", "file of certificate authorities, in PEM, to trust beside those of the system")
	f.StringVar(&flags.clientCert, "client-cert", "", "file of the certificate, in PEM, to present to policy servers")
	f.StringVar(&flags.clientKey, "client-key", "", "file of the key of --client-cert, in PEM")
	f.BoolVar(&flags.disableStore, "disable-store", false, "write and delete no reports")
	f.IntVar(&flags.parallelNamespaces, "parallel-namespaces", 1, "namespaces to scan at once")
	f.IntVar(&flags.parallelResources, "parallel-resources", 100, "objects to audit at once, in each namespace")
	f.IntVar(&flags.parallelPolicies, "parallel-policies", 5, "requests to make at once, about each object; one asks a policy, or up to 16 where the policy server can")
	f.Int64Var(&flags.pageSize, "page-size", 100, "objects to list at once")
	f.StringVar(&flags.reportKind, "report-kind", string(report.KindPolicyReport), "API of the reports: policyreport or openreports")
	f.StringSliceVar(&flags.exemptNamespaces, "exempt-namespaces", nil, "namespaces that every webhook leaves out, separated by commas; may be given several times")
	f.StringVar(&flags.matchCondition, "match-condition", "", "file of the match condition, in CEL, that every webhook has beside those of its policy")
	f.StringSliceVar(&flags.operations, "operations", []string{string(matching.Create)}, "what to simulate on each object: CREATE, UPDATE, DELETE; separated by commas; may be given several times")
	f.StringVar(&flags.logFormat, "log-fmt", "json", "format of the log: json, text")
	f.StringVar(&flags.summaryFile, "summary-file", "", "file to write a summary of the scan to, as JSON, when it ends")
	command.MarkFlagsRequiredTogether("client-cert", "client-key")
	return command
}

func (f *auditFlags) run(ctx context.Context, stdout io.Writer) error {
	logger, err := auditLogger(stdout, f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	summary, err := f.scan(ctx, logger)
	return errors.Join(err, f.leaveSummary(summary.Outcome(err)))
}

// leaveSummary writes where the operator, or whoever else, looks for what became of the scan.
func (f *auditFlags) leaveSummary(outcome operatorv1alpha1.AuditSummary) error {
	if f.summaryFile == "" {
		return nil
	}
	content, err := scan.Termination(outcome)
	if err == nil {
		err = os.WriteFile(f.summaryFile, content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("--summary-file: %w", err)
	}
	return nil
}

func (f *auditFlags) scan(ctx context.Context, logger *slog.Logger) (scan.Summary, error) {
	log.SetLogger(logr.FromSlogHandler(logger.Handler()))
	if f.cluster && f.namespace != "" {
		logger.WarnContext(ctx, "both --cluster and --namespace are given: only what lives in no namespace is scanned")
		f.namespace = ""
	}
	kind, err := report.ParseKind(f.reportKind)
	if err != nil {
		return scan.Summary{}, fmt.Errorf("--report-kind: %w", err)
	}
	restConfig, err := config.GetConfig()
	if err != nil {
		return scan.Summary{}, fmt.Errorf("read the kubeconfig: %w", err)
	}
	scanConfig, err := f.config(ctx, restConfig, kind)
	if err != nil {
		return scan.Summary{}, err
	}
	scanConfig.Log = logger
	scanner, err := scan.NewScanner(scanConfig)
	if err != nil {
		return scan.Summary{}, err
	}
	return scanner.Run(ctx, scan.Target{Namespace: f.namespace, ClusterOnly: f.cluster})
}

func (f *auditFlags) config(ctx context.Context, restConfig *rest.Config, kind report.Kind) (scan.Config, error) {
	restConfig.UserAgent = "kubewarden-audit-scanner/" + version
	// The API server's own fairness is enough of a limit.
	restConfig.QPS = -1
	clients, err := newAuditClients(ctx, restConfig)
	if err != nil {
		return scan.Config{}, err
	}
	store, err := report.NewStore(clients.typed, kind, string(uuid.NewUUID()))
	if err != nil {
		return scan.Config{}, err
	}
	if err := store.WriteBriefly(restConfig); err != nil {
		return scan.Config{}, err
	}
	operations, err := parseOperations(f.operations)
	if err != nil {
		return scan.Config{}, err
	}
	condition, err := readFlagFile("match-condition", f.matchCondition)
	if err != nil {
		return scan.Config{}, err
	}
	dial := scan.NewReplicas(clients.typed, scan.PlainDial, time.Now).DialContext
	parallel := min(maxConnections, f.parallelNamespaces*f.parallelResources*f.parallelPolicies)
	transport, err := scan.NewFollowing(func() (scan.TransportConfig, error) {
		config, err := f.transport(parallel)
		config.Dial = dial
		return config, err
	}, time.Now)
	if err != nil {
		return scan.Config{}, err
	}
	return scan.Config{
		Client:              clients.typed,
		Objects:             clients.objects,
		Discovery:           clients.discovery,
		Asker:               scan.NewAsker(scan.AskerConfig{Transport: transport, Parallel: parallel, Now: time.Now}),
		Store:               store,
		DisableStore:        f.disableStore,
		OutputScan:          f.outputScan,
		Now:                 time.Now,
		ProgressEvery:       progressEvery,
		KubewardenNamespace: f.kubewardenNamespace,
		PolicyServerURL:     f.policyServerURL,
		ExemptNamespaces:    f.exemptNamespaces,
		MatchCondition:      string(condition),
		Version:             version,
		Operations:          operations,
		IgnoreNamespaces:    f.ignoreNamespaces,
		ParallelNamespaces:  f.parallelNamespaces,
		ParallelResources:   f.parallelResources,
		ParallelPolicies:    f.parallelPolicies,
		PageSize:            f.pageSize,
	}, nil
}

type auditClients struct {
	typed     client.Client
	objects   scan.Lister
	discovery scan.Discovery
}

func newAuditClients(ctx context.Context, restConfig *rest.Config) (auditClients, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(policiesv1.AddToScheme(scheme))
	utilruntime.Must(report.AddToScheme(scheme))
	typed, err := client.New(restConfig, client.Options{Scheme: scheme})
	if err != nil {
		return auditClients{}, fmt.Errorf("make a client: %w", err)
	}
	objects, err := scan.NewLister(restConfig)
	if err != nil {
		return auditClients{}, err
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(restConfig)
	if err != nil {
		return auditClients{}, fmt.Errorf("make a discovery client: %w", err)
	}
	return auditClients{typed: typed, objects: objects, discovery: discoveryClient.WithLegacyWithContext(ctx)}, nil
}

// transport reads the files of certificates. They may change while a scan runs.
func (f *auditFlags) transport(connections int) (scan.TransportConfig, error) {
	transport := scan.TransportConfig{
		Insecure:    f.insecure,
		Proxy:       http.ProxyFromEnvironment,
		Connections: connections,
	}
	for _, file := range []struct {
		flag, path string
		content    *[]byte
	}{
		{"extra-ca", f.extraCA, &transport.ExtraCA},
		{"client-cert", f.clientCert, &transport.ClientCertificate},
		{"client-key", f.clientKey, &transport.ClientKey},
	} {
		content, err := readFlagFile(file.flag, file.path)
		if err != nil {
			return scan.TransportConfig{}, err
		}
		*file.content = content
	}
	return transport, nil
}

// readFlagFile reads the file that a flag names; nil when it names none.
func readFlagFile(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return content, nil
}

// parseOperations reads names of operations into the order in which they are asked about.
func parseOperations(names []string) ([]matching.Operation, error) {
	var wanted []matching.Operation
	for _, operation := range plan.Operations() {
		if slices.Contains(names, string(operation)) {
			wanted = append(wanted, operation)
		}
	}
	for _, name := range names {
		if !slices.Contains(wanted, matching.Operation(name)) {
			return nil, fmt.Errorf("--operations: %q is not allowed; allowed are CREATE, UPDATE, DELETE", name)
		}
	}
	return wanted, nil
}

// auditLevels are the levels that upstream's scanner takes, and those that its
// documentation names.
var auditLevels = map[string]slog.Level{
	"":        slog.LevelInfo,
	"trace":   slog.LevelDebug,
	"debug":   slog.LevelDebug,
	"info":    slog.LevelInfo,
	"warn":    slog.LevelWarn,
	"warning": slog.LevelWarn,
	"error":   slog.LevelError,
	"fatal":   slog.LevelError,
}

// auditLogger writes with upstream's keys: time, level, message; in JSON, as upstream does, or
// as text.
func auditLogger(out io.Writer, format, level string) (*slog.Logger, error) {
	threshold, known := auditLevels[strings.ToLower(level)]
	if !known {
		return nil, fmt.Errorf("--loglevel: %q is not allowed; allowed are debug, info, warning, error", level)
	}
	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return attr
		}
		switch attr.Key {
		case slog.MessageKey:
			attr.Key = "message"
		case slog.LevelKey:
			attr.Value = slog.StringValue(levelName(attr.Value.String()))
		}
		return attr
	}}
	var handler slog.Handler
	switch format {
	case "json":
		handler = slog.NewJSONHandler(out, options)
	case "text":
		handler = slog.NewTextHandler(out, options)
	default:
		return nil, fmt.Errorf("--log-fmt: %q is not allowed; allowed are json, text", format)
	}
	return slog.New(handler).With("component", "audit-scanner"), nil
}

func levelName(level string) string {
	if level == slog.LevelWarn.String() {
		return "warning"
	}
	return strings.ToLower(level)
}
