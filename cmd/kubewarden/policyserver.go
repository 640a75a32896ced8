package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/kubewarden/kubewarden-operator/policyserver"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/trustroot"
	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

func policyServerCommand() *cobra.Command {
	var flags policyServerFlags
	var asked versionFlags
	command := &cobra.Command{
		Use:   "policy-server",
		Short: "Answer admission requests by WebAssembly policies",
		Long: "Answer admission requests by WebAssembly policies.\n\n" +
			"Policies come from a file (--policies), or from a ConfigMap that an operator keeps\n" +
			"(--config-map). Both are followed: a change needs no restart.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if asked.asked() {
				return asked.print(command.OutOrStdout())
			}
			if err := flags.check(command.Flags()); err != nil {
				return err
			}
			return flags.run(command.Context())
		},
	}
	flags.define(command.Flags())
	asked.define(command.Flags())
	bindEnv(command, policyServerEnv)
	readVariables := command.PreRunE
	command.PreRunE = func(command *cobra.Command, arguments []string) error {
		if asked.asked() {
			return nil // whatever is wrong with a variable
		}
		return readVariables(command, arguments)
	}
	command.AddCommand(docsCommand(policyServerCommand))
	return command
}

// run serves until the process is told to stop.
func (f *policyServerFlags) run(ctx context.Context) (err error) {
	push, logger, err := f.telemetry(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// Not within ctx, which has ended by then.
		flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if failed := push.Shutdown(flushing); failed != nil && err == nil {
			logger.Warn("stop pushing", "error", failed) // no reason to end with an error
		}
	}()
	klog.SetSlogLogger(logger) // what the Kubernetes libraries log
	config, err := f.config(logger)
	if err != nil {
		return err
	}
	ctx, hurry, stop := stopSignals(ctx)
	defer stop()
	config.Push = push
	config.Memory = memoryBudget(os.DirFS("/"), os.Getenv, debug.SetMemoryLimit, logger)
	policyServer, err := policyserver.New(ctx, config)
	if err != nil {
		return err
	}
	return policyServer.Run(ctx, hurry)
}

// telemetry opens what tells of this process: the log, and what is pushed to a collector.
func (f *policyServerFlags) telemetry(ctx context.Context) (*telemetry.Push, *slog.Logger, error) {
	logger, err := telemetry.NewLogger(os.Stdout, f.logFormat, f.logLevel)
	if err != nil {
		return nil, nil, err
	}
	environment := otelEnvironment{getenv: os.Getenv, readFile: os.ReadFile}
	config, err := environment.pushed(f.enableMetrics, f.logFormat)
	if err != nil {
		return nil, nil, err
	}
	if err := environment.setDefault(); err != nil {
		return nil, nil, err
	}
	config.Logger = logger
	push, err := telemetry.NewPush(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return push, push.Logger(logger), nil
}

// stopSignals gives a context that ends on SIGTERM and SIGINT, and one that ends when
// there is somebody who does not want to wait: on SIGINT, which comes from a terminal, and
// on a second signal of any kind.
func stopSignals(parent context.Context) (stopping, hurry context.Context, stop func()) {
	stopping, stopNow := context.WithCancel(parent)
	hurry, hurryNow := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for received := range signals {
			if received == syscall.SIGINT || stopping.Err() != nil {
				hurryNow()
			}
			stopNow()
		}
	}()
	return stopping, hurry, func() {
		signal.Stop(signals)
		close(signals)
		stopNow()
		hurryNow()
	}
}

// config turns the flags into what the rooms want.
func (f *policyServerFlags) config(logger *slog.Logger) (policyserver.Config, error) {
	config := policyserver.Config{
		Version:          version,
		APIAddress:       f.hostPort(f.port),
		ReadinessAddress: f.hostPort(f.readinessPort),
		MaxBodyBytes:     f.maxBodyBytes,
		Workers:          f.workers,
		QueueLimit:       f.queueLimit,
		DrainPeriod:      f.drainPeriod,
		StartupPatience:  f.startupPatience,
		AcceptNamespace:  f.acceptNamespace,
		Isolation:        policy.Isolation(f.isolation),
		DownloadDir:      f.downloadDir,
		Verification:     f.verification,
		SigstoreTrust:    f.sigstoreTrust,
		PublicTrust:      trustroot.Config{Dir: f.sigstoreCacheDir},
		Capabilities:     policyserver.Capabilities{DNSTTL: f.hostDNSTTL, OCITTL: f.hostOCITTL},
		Profiles:         f.enablePprof,
		Keychain:         fetch.DockerKeychain{Files: credentialFiles(os.Getenv, f.dockerConfigDir)},
		Logger:           logger,
		Now:              time.Now,
	}
	if f.enableMetrics {
		config.MetricsAddress = f.hostPort(f.metricsPort)
	}
	var err error
	if config.Proxies, err = proxies(os.Getenv); err != nil {
		return policyserver.Config{}, err
	}
	if !f.disableTimeout {
		config.PolicyTimeout = time.Duration(f.policyTimeout) * time.Second
	}
	if f.certFile != "" {
		config.Certificates = &server.CertificateFiles{
			Certificate: f.certFile, Key: f.keyFile,
			ClientCAs: list(f.clientCAFiles), ClientCAMode: f.clientCAMode, OperatorCAs: list(f.operatorCAFiles),
		}
	}
	cluster, err := clusterConfig()
	if f.configMap == "" {
		config.Files = &policyserver.Files{Policies: f.policies, Sources: f.sources}
		if err != nil {
			logger.Warn("policies cannot read a cluster", "error", err) // which few need that run alone
			return config, nil
		}
		config.Capabilities.Cluster, err = objects.NewClients(cluster)
		return config, err
	}
	if err != nil {
		return policyserver.Config{}, fmt.Errorf("read --config-map %s: %w", f.configMap, err)
	}
	if config.Capabilities.Cluster, err = objects.NewClients(cluster); err != nil {
		return policyserver.Config{}, err
	}
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return policyserver.Config{}, fmt.Errorf("read --config-map %s: %w", f.configMap, err)
	}
	config.Live = &policyserver.Live{
		Client: client, Namespace: f.namespace, ConfigMap: f.configMap, ReportConfigMap: f.reports, Replica: f.replica,
	}
	return config, nil
}

func (f *policyServerFlags) hostPort(port uint16) string {
	return net.JoinHostPort(strings.Trim(f.address, "[]"), strconv.Itoa(int(port)))
}

// list splits a comma-separated list; blanks and empty items do not count.
func list(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// clusterConfig finds the API server as kubectl does, or that of the cluster it runs in.
func clusterConfig() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	config.UserAgent = "kubewarden-policy-server/" + version
	return config, nil
}
