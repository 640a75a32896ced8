package metrics

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

var (
	serverLabels = []string{"policy_server"}

	serverReady = prometheus.NewDesc("kubewarden_policy_server_ready",
		"Whether all wanted replicas of a PolicyServer are ready and serve every policy as its spec says.", serverLabels, nil)
	replicasWanted = prometheus.NewDesc("kubewarden_policy_server_replicas_wanted",
		"Number of replicas that a PolicyServer is to have.", serverLabels, nil)
	replicasReady = prometheus.NewDesc("kubewarden_policy_server_replicas_ready",
		"Number of replicas of a PolicyServer that are ready.", serverLabels, nil)
	replicasUpToDate = prometheus.NewDesc("kubewarden_policy_server_replicas_up_to_date",
		"Number of ready replicas of a PolicyServer that serve every policy as its spec says.", serverLabels, nil)

	serversPart = part{
		name:         "policy servers",
		descriptions: []*prometheus.Desc{serverReady, replicasWanted, replicasReady, replicasUpToDate},
		collect:      collectServers,
	}
)

func collectServers(ctx context.Context, config Config, metrics chan<- prometheus.Metric) error {
	var servers policiesv1.PolicyServerList
	if err := config.Reader.List(ctx, &servers, shared); err != nil {
		return fmt.Errorf("list PolicyServers: %w", err)
	}
	for i := range servers.Items {
		name, status := servers.Items[i].Name, servers.Items[i].Status
		_, ready := readiness(status.Conditions)
		metrics <- gauge(serverReady, truth(ready), name)
		if status.Replicas == nil {
			continue // not looked at yet
		}
		metrics <- gauge(replicasWanted, float64(status.Replicas.Wanted), name)
		metrics <- gauge(replicasReady, float64(status.Replicas.Ready), name)
		metrics <- gauge(replicasUpToDate, float64(status.Replicas.UpToDate), name)
	}
	return nil
}
