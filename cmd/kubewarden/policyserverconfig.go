package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubewarden/kubewarden-operator/policyserver"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/trustroot"
	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

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
		Capabilities: policyserver.Capabilities{
			DNSTTL: f.hostDNSTTL, OCITTL: f.hostOCITTL, Limits: host.Limits{Payload: f.hostMaxPayload, Reply: f.hostMaxReply},
		},
		Profiles: f.enablePprof,
		Keychain: fetch.DockerKeychain{Files: credentialFiles(os.Getenv, f.dockerConfigDir)},
		Logger:   logger,
		Now:      time.Now,
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
