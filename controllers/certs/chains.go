package certs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// chains returns what everybody presents to whom the authority matters: policy servers to API
// servers, and clients to policy servers.
func (c *Certificates) chains(ctx context.Context) ([]Chain, error) {
	var servers policiesv1.PolicyServerList
	if err := c.client.List(ctx, &servers); err != nil {
		return nil, fmt.Errorf("list PolicyServers: %w", err)
	}
	chains, err := c.clientChains(ctx)
	if err != nil {
		return nil, err
	}
	for i := range servers.Items {
		chain, err := c.chain(ctx, servers.Items[i].Name)
		if err != nil {
			return nil, err
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

// chain returns what a policy server presents.
func (c *Certificates) chain(ctx context.Context, server string) (Chain, error) {
	presented, err := c.presented(ctx, server)
	if err != nil {
		return Chain{}, err
	}
	set, err := c.replicasOf(ctx, server)
	if err != nil {
		return Chain{}, err
	}
	chain := Chain{
		Name: "PolicyServer " + server, Claim: Claim{DNSName: render.DNSName(server, c.render.Namespace)},
		Certificate: presented.Data[corev1.TLSCertKey],
	}
	chain.Behind = Behind(chain.Certificate, set)
	chain.Since = presentedSince(presented)
	return chain, nil
}

// presentedSince is since when a Secret has held its pair; zero for long ago.
func presentedSince(secret *corev1.Secret) time.Time {
	since, err := time.Parse(time.RFC3339, secret.Annotations[render.AnnotationPresentedAt])
	if err != nil {
		return time.Time{}
	}
	return since
}

// replicasOf are the Pods of a policy server that have not ended for good, with their reports.
func (c *Certificates) replicasOf(ctx context.Context, server string) (replicas.Set, error) {
	namespace := client.InNamespace(c.render.Namespace)
	var pods corev1.PodList
	if err := c.client.List(ctx, &pods, namespace, client.MatchingLabels(render.PolicyServerLabels(server))); err != nil {
		return nil, fmt.Errorf("list Pods: %w", err)
	}
	configMap := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: c.render.Namespace, Name: contract.ReportConfigMapName(server)}
	if err := c.client.Get(ctx, key, configMap); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("get ConfigMap %s: %w", key, err)
	}
	// A report that cannot be read tells nothing, and its replica is waited for.
	reports, _ := contract.DecodeReports(configMap.Data, configMap.BinaryData)
	answering := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool {
		return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	})
	return replicas.NewSet(answering, reports), nil
}

// Behind names the replicas of a policy server that are not known to present a chain, in PEM.
// Each one counts that may answer, ready or not: a Pod becomes ready without asking anybody.
// One that is on its way out is called no more. It is the one place that says what a replica
// presents: one that reports tells it, and one that does not has a report that is made of
// what it was started with.
func Behind(chain []byte, set replicas.Set) []string {
	wanted := fingerprint(chain)
	var names []string
	for _, replica := range set {
		if replica.Terminating {
			continue
		}
		if wanted == "" || replica.Report == nil || replica.Report.ServingCertificate != wanted {
			names = append(names, "Pod "+replica.Name)
		}
	}
	return names
}

// fingerprint is the SHA-256 of the first certificate of a PEM text, in hex, as replicas
// report it; empty when there is none.
func fingerprint(chain []byte) string {
	certificates, err := parseCertificates(chain)
	if err != nil || len(certificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(certificates[0].Raw)
	return hex.EncodeToString(sum[:])
}
