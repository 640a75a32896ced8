package render

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

const (
	// labelDashboard is the label by which Grafana's sidecar finds ConfigMaps of dashboards.
	labelDashboard = "grafana_dashboard"
	// keyDashboard is the key of the dashboard in its ConfigMap.
	keyDashboard = "kubewarden.json"
	// dashboardUID is what links to the dashboard name it by.
	dashboardUID = "kubewarden"
	// dashboardSchema is the version of Grafana's model that is written, that of Grafana 11;
	// later ones read it.
	dashboardSchema = 39
)

// Units of Grafana.
const (
	unitShort        = "short"
	unitPerSecond    = "reqps"
	unitMilliseconds = "ms"
	unitSeconds      = "s"
	unitBytes        = "bytes"
)

// panel is one picture of the dashboard. An expression may use OURS as alerts do, and SERVER
// for the matcher of the policy servers that the reader has chosen.
type panel struct {
	title, unit string
	series      []query
	// single shows the last value instead of its course.
	single bool
}

// query is one expression; legend may use labels, as {{policy_server}}.
type query struct{ expr, legend string }

// server is replaced in expressions of panels.
const server = "SERVER"

// dashboardPanels are in the order in which somebody looks: is it enforced, is it fast, does
// it have room, what does the operator do.
func dashboardPanels() []panel {
	return append(append(stateHeadlines(), verdictPanels()...), loadPanels()...)
}

func stateHeadlines() []panel {
	return []panel{
		{title: "Policies active", unit: unitShort, single: true, series: []query{
			{`sum(max by (kind, mode) (kubewarden_policies{OURS,policy_status="active"}))`, "active"},
		}},
		{title: "Policies not as their specs say", unit: unitShort, single: true, series: []query{
			{`sum(max by (kind, reason) (kubewarden_policies_not_ready{OURS})) or vector(0)`, "not ready"},
		}},
		{title: "Enforcement suspended", unit: unitShort, single: true, series: []query{
			{`max(kubewarden_enforcement_suspended{OURS})`, "suspended"},
		}},
		{title: "First certificate expires in", unit: unitSeconds, single: true, series: []query{
			{`min(kubewarden_certificate_expiry_timestamp_seconds{OURS}) - time()`, "expires"},
		}},
		{title: "Policies by kind and stage", unit: unitShort, series: []query{
			{`max by (kind, policy_status, mode) (kubewarden_policies{OURS})`, "{{kind}} {{policy_status}} {{mode}}"},
		}},
		{title: "Policies not as their specs say, by reason", unit: unitShort, series: []query{
			{`max by (kind, reason) (kubewarden_policies_not_ready{OURS})`, "{{kind}} {{reason}}"},
		}},
		{title: "Replicas", unit: unitShort, series: []query{
			{`max by (policy_server) (kubewarden_policy_server_replicas_wanted{OURS,SERVER})`, "{{policy_server}} wanted"},
			{`max by (policy_server) (kubewarden_policy_server_replicas_ready{OURS,SERVER})`, "{{policy_server}} ready"},
			{`max by (policy_server) (kubewarden_policy_server_replicas_up_to_date{OURS,SERVER})`, "{{policy_server}} up to date"},
		}},
		{title: "Time since an audit was last complete", unit: unitSeconds, series: []query{
			{`time() - max(kubewarden_audit_last_success_timestamp_seconds{OURS})`, "audit"},
		}},
	}
}

func verdictPanels() []panel {
	return []panel{
		{title: "Verdicts", unit: unitPerSecond, series: []query{
			{`sum by (accepted, mutated) (rate(kubewarden_policy_evaluations_total{OURS,SERVER}[$__rate_interval]))`, "accepted {{accepted}}, mutated {{mutated}}"},
		}},
		{title: "Rejections by policy", unit: unitPerSecond, series: []query{
			{`topk(10, sum by (policy_name, policy_mode) (rate(kubewarden_policy_evaluations_total{OURS,SERVER,accepted="false"}[$__rate_interval])))`, "{{policy_name}} {{policy_mode}}"},
		}},
		{title: "Slowest policies, 99th percentile", unit: unitMilliseconds, series: []query{
			{
				`topk(10, histogram_quantile(0.99, sum by (policy_name, le) (rate(kubewarden_policy_evaluation_latency_milliseconds_bucket{OURS,SERVER}[$__rate_interval]))))`,
				"{{policy_name}}",
			},
		}},
		{title: "Time of requests", unit: unitSeconds, series: []query{
			{`histogram_quantile(0.5, sum by (le) (rate(kubewarden_policy_server_request_duration_seconds_bucket{OURS,SERVER}[$__rate_interval])))`, "half"},
			{`histogram_quantile(0.99, sum by (le) (rate(kubewarden_policy_server_request_duration_seconds_bucket{OURS,SERVER}[$__rate_interval])))`, "99th percentile"},
			{`histogram_quantile(0.99, sum by (le) (rate(kubewarden_policy_server_queue_wait_seconds_bucket{OURS,SERVER}[$__rate_interval])))`, "99th percentile of waiting"},
		}},
	}
}

func loadPanels() []panel {
	return []panel{
		{title: "Requests by status", unit: unitPerSecond, series: []query{
			{`sum by (endpoint, status) (rate(kubewarden_policy_server_requests_total{OURS,SERVER}[$__rate_interval]))`, "{{endpoint}} {{status}}"},
		}},
		{title: "Workers", unit: unitShort, series: []query{
			{`sum by (policy_server) (kubewarden_policy_server_workers{OURS,SERVER})`, "{{policy_server}} all"},
			{`sum by (policy_server) (kubewarden_policy_server_workers_busy{OURS,SERVER})`, "{{policy_server}} busy"},
			{`sum by (policy_server) (kubewarden_policy_server_requests_in_flight{OURS,SERVER})`, "{{policy_server}} requests"},
		}},
		{title: "Memory", unit: unitBytes, series: []query{
			{`max by (policy_server) (process_resident_memory_bytes{OURS,SERVER})`, "{{policy_server}}, largest replica"},
		}},
		{title: "What policies ask of the host, 99th percentile", unit: unitSeconds, series: []query{
			{
				`histogram_quantile(0.99, sum by (capability, le) (rate(kubewarden_policy_server_host_call_duration_seconds_bucket{OURS,SERVER}[$__rate_interval])))`,
				"{{capability}}",
			},
		}},
		{title: "Reconciles of the operator", unit: unitPerSecond, series: []query{
			{`sum by (controller, result) (rate(controller_runtime_reconcile_total{OURS}[$__rate_interval]))`, "{{controller}} {{result}}"},
		}},
		{title: "Queues of the operator", unit: unitShort, series: []query{
			{`max by (name) (workqueue_depth{OURS})`, "{{name}}"},
		}},
	}
}

func (in MonitoringInput) dashboard() (*corev1.ConfigMap, error) {
	text, err := json.MarshalIndent(in.board(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the dashboard: %w", err)
	}
	meta := in.meta(monitorDashboard)
	meta.Labels[labelDashboard] = "1"
	return &corev1.ConfigMap{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "ConfigMap"),
		ObjectMeta: meta,
		Data:       map[string]string{keyDashboard: string(text) + "\n"},
	}, nil
}
