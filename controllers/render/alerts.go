package render

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// runbooks is where it is said what to do about an alert; the anchor is the alert's name in
// lower case.
const runbooks = "https://github.com/kubewarden/kubewarden-operator/blob/main/docs/runbooks.md#"

// alert is one reason to call somebody.
type alert struct {
	name string
	// expr is in PromQL. ours stands for the matcher of the operator's namespace.
	expr string
	// after is how long it has to be so.
	after string
	// severity is critical when requests are refused or go unjudged, else warning.
	severity string
	summary  string
}

// ours is replaced in expressions.
const ours = "OURS"

// installationAlerts are about the installation as a whole. All replicas of the operator
// tell the same, so the largest value is taken.
func installationAlerts() []alert {
	return []alert{
		{
			name:     "KubewardenOperatorDown",
			expr:     `absent(kubewarden_installations{OURS})`,
			after:    "10m",
			severity: "warning",
			summary:  "No replica of the operator tells of the installation.",
		},
		{
			name:     "KubewardenEnforcementSuspended",
			expr:     `max(kubewarden_enforcement_suspended{OURS}) == 1`,
			after:    "15m",
			severity: "warning",
			summary:  "No policy is enforced, because the Kubewarden says so.",
		},
		{
			name: "KubewardenNotReady",
			expr: `max(kubewarden_installation_condition{OURS,condition="Ready"}) == 0` +
				` unless max(kubewarden_enforcement_suspended{OURS}) == 1`,
			after:    "15m",
			severity: "warning",
			summary:  "The Kubewarden is not Ready.",
		},
		{
			name:     "KubewardenPoliciesNotReady",
			expr:     `max by (kind, reason) (kubewarden_policies_not_ready{OURS,reason!~"Suspended|Deleting"}) > 0`,
			after:    "15m",
			severity: "warning",
			summary:  "{{ $value }} of kind {{ $labels.kind }} are not enforced as their specs say: {{ $labels.reason }}.",
		},
		{
			name: "KubewardenCertificateExpiresSoon",
			expr: `min by (secret) (kubewarden_certificate_expiry_timestamp_seconds{OURS}) - time() > 0` +
				` and min by (secret) (kubewarden_certificate_late_timestamp_seconds{OURS}) < time()`,
			after:    "5m",
			severity: "warning",
			summary:  "The certificate in Secret {{ $labels.secret }} expires in {{ $value | humanizeDuration }} and was not renewed.",
		},
		{
			name:     "KubewardenCertificateExpired",
			expr:     `min by (secret) (kubewarden_certificate_expiry_timestamp_seconds{OURS}) - time() <= 0`,
			after:    "1m",
			severity: "critical",
			summary:  "The certificate in Secret {{ $labels.secret }} has expired: whoever calls with it or is called under it is refused.",
		},
		{
			name:     "KubewardenRekeyingStuck",
			expr:     `max(kubewarden_rekeying_step{OURS}) > 0`,
			after:    "1h",
			severity: "warning",
			summary:  "Another certificate authority has been taking over for an hour; it is at step {{ $value }} of 4, and the one before stays trusted.",
		},
		{
			name:     "KubewardenAuditFailed",
			expr:     `max(kubewarden_audit_last_run_failed{OURS}) == 1`,
			after:    "15m",
			severity: "warning",
			summary:  "The last audit failed or had to leave something out.",
		},
		{
			name:     "KubewardenReconcileErrors",
			expr:     `sum by (controller) (rate(controller_runtime_reconcile_errors_total{OURS}[5m])) > 0`,
			after:    "30m",
			severity: "warning",
			summary:  "The controller {{ $labels.controller }} of the operator keeps failing.",
		},
	}
}

// policyServerAlerts are about the answers to API servers.
func policyServerAlerts() []alert {
	return []alert{
		{
			name: "KubewardenPolicyServerDown",
			expr: `max by (policy_server) (kubewarden_policy_server_replicas_ready{OURS}) == 0` +
				` and max by (policy_server) (kubewarden_policy_server_replicas_wanted{OURS}) > 0`,
			after:    "2m",
			severity: "critical",
			summary:  "PolicyServer {{ $labels.policy_server }} has no ready replica: its policies decide by failurePolicy alone.",
		},
		{
			name: "KubewardenPolicyServerReplicasMissing",
			expr: `max by (policy_server) (kubewarden_policy_server_replicas_ready{OURS})` +
				` < max by (policy_server) (kubewarden_policy_server_replicas_wanted{OURS})`,
			after:    "15m",
			severity: "warning",
			summary:  "PolicyServer {{ $labels.policy_server }} has only {{ $value }} ready replicas.",
		},
		{
			name: "KubewardenPolicyNotLoaded",
			expr: `sum by (policy_server, policy_name, initialization_error)` +
				` (increase(kubewarden_policy_evaluations_total{OURS,initialization_error!=""}[5m])) > 0`,
			after:    "5m",
			severity: "critical",
			summary: "Requests are refused because no revision of policy {{ $labels.policy_name }} could be loaded:" +
				" {{ $labels.initialization_error }}.",
		},
		{
			name:     "KubewardenRequestsRejected",
			expr:     `sum by (policy_server) (rate(kubewarden_policy_server_requests_rejected_total{OURS}[5m])) > 0`,
			after:    "5m",
			severity: "warning",
			summary:  "PolicyServer {{ $labels.policy_server }} has more requests than it can take.",
		},
		{
			name: "KubewardenRequestErrors",
			expr: `sum by (policy_server) (rate(kubewarden_policy_server_requests_total{OURS,status=~"5..",status!="503"}[5m]))` +
				` / sum by (policy_server) (rate(kubewarden_policy_server_requests_total{OURS}[5m])) > 0.01`,
			after:    "10m",
			severity: "warning",
			summary:  "PolicyServer {{ $labels.policy_server }} answers {{ $value | humanizePercentage }} of requests with an error.",
		},
		{
			name: "KubewardenPolicySlow",
			expr: `histogram_quantile(0.99, sum by (policy_server, policy_name, le)` +
				` (rate(kubewarden_policy_evaluation_latency_milliseconds_bucket{OURS}[5m]))) > 1000`,
			after:    "15m",
			severity: "warning",
			summary:  "One of a hundred requests takes policy {{ $labels.policy_name }} {{ $value }} ms or more.",
		},
		{
			name: "KubewardenCertificateReloadFailed",
			expr: `sum by (policy_server)` +
				` (increase(kubewarden_policy_server_certificate_reloads_total{OURS,result="error"}[1h])) > 0`,
			after:    "5m",
			severity: "warning",
			summary:  "PolicyServer {{ $labels.policy_server }} could not read its new certificate and goes on with the old one.",
		},
	}
}

func (in MonitoringInput) alerts() *unstructured.Unstructured {
	return in.custom(KindPrometheusRule, monitorAlerts, map[string]any{"groups": []any{
		map[string]any{"name": "kubewarden.installation", "rules": in.rules(installationAlerts())},
		map[string]any{"name": "kubewarden.policy-servers", "rules": in.rules(policyServerAlerts())},
	}})
}

func (in MonitoringInput) rules(alerts []alert) []any {
	rules := make([]any, 0, len(alerts))
	for _, alert := range alerts {
		rules = append(rules, map[string]any{
			"alert":  alert.name,
			"expr":   in.expr(alert.expr),
			"for":    alert.after,
			"labels": map[string]any{"severity": alert.severity},
			"annotations": map[string]any{
				"summary":     alert.summary,
				"runbook_url": runbooks + strings.ToLower(alert.name),
			},
		})
	}
	return rules
}

// expr has an expression look at this installation alone.
func (in MonitoringInput) expr(expr string) string {
	return strings.ReplaceAll(expr, ours, `namespace="`+in.Config.Namespace+`"`)
}
