package metrics_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/metrics"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

const namespace = "kubewarden"

// born is when every certificate of these tests was made.
var born = time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC)

func builder(t *testing.T, objects ...client.Object) *fake.ClientBuilder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, policiesv1.AddToScheme, operatorv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
}

func collector(reader client.Reader) *metrics.Collector {
	return metrics.NewCollector(metrics.Config{Reader: reader, Namespace: namespace, Logger: logr.Discard()})
}

func ready(status metav1.ConditionStatus, reason string) []metav1.Condition {
	return []metav1.Condition{{Type: policiesv1.ConditionReady, Status: status, Reason: reason}}
}

func policy(name string, state policiesv1.PolicyState, conditions []metav1.Condition) *policiesv1.ClusterAdmissionPolicy {
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	policy.Spec.Mode = policiesv1.PolicyModeProtect
	policy.Status.PolicyStatus = state
	policy.Status.Conditions = conditions
	return policy
}

func TestPoliciesAreCountedByStageAndByWhatIsWrong(t *testing.T) {
	namespaced := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: "new"}}
	namespaced.Spec.Mode = policiesv1.PolicyModeMonitor
	reader := builder(t,
		policy("one", policiesv1.PolicyStateActive, ready(metav1.ConditionTrue, policiesv1.ReasonEnforced)),
		policy("two", policiesv1.PolicyStateActive, ready(metav1.ConditionFalse, "FetchFailed")),
		policy("three", policiesv1.PolicyStatePending, ready(metav1.ConditionFalse, "FetchFailed")),
		namespaced,
	).Build()
	want := `
# HELP kubewarden_policies Number of policies, by kind, stage (unscheduled, scheduled, pending, active) and wanted mode (protect, monitor).
# TYPE kubewarden_policies gauge
kubewarden_policies{kind="AdmissionPolicy",mode="monitor",policy_status=""} 1
kubewarden_policies{kind="ClusterAdmissionPolicy",mode="protect",policy_status="active"} 2
kubewarden_policies{kind="ClusterAdmissionPolicy",mode="protect",policy_status="pending"} 1
# HELP kubewarden_policies_not_ready Number of policies that are not enforced as their specs say, by kind and by the reason of the condition Ready.
# TYPE kubewarden_policies_not_ready gauge
kubewarden_policies_not_ready{kind="AdmissionPolicy",reason="NotReconciled"} 1
kubewarden_policies_not_ready{kind="ClusterAdmissionPolicy",reason="FetchFailed"} 2
`
	err := testutil.CollectAndCompare(collector(reader), strings.NewReader(want), "kubewarden_policies", "kubewarden_policies_not_ready")
	if err != nil {
		t.Error(err)
	}
}

func TestReplicasAreCountedByServer(t *testing.T) {
	serving := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	serving.Status.Conditions = ready(metav1.ConditionTrue, policiesv1.ReasonServing)
	serving.Status.Replicas = &policiesv1.PolicyServerReplicas{Wanted: 3, Ready: 2, UpToDate: 1}
	unseen := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "unseen"}}
	want := `
# HELP kubewarden_policy_server_ready Whether all wanted replicas of a PolicyServer are ready and serve every policy as its spec says.
# TYPE kubewarden_policy_server_ready gauge
kubewarden_policy_server_ready{policy_server="default"} 1
kubewarden_policy_server_ready{policy_server="unseen"} 0
# HELP kubewarden_policy_server_replicas_ready Number of replicas of a PolicyServer that are ready.
# TYPE kubewarden_policy_server_replicas_ready gauge
kubewarden_policy_server_replicas_ready{policy_server="default"} 2
# HELP kubewarden_policy_server_replicas_up_to_date Number of ready replicas of a PolicyServer that serve every policy as its spec says.
# TYPE kubewarden_policy_server_replicas_up_to_date gauge
kubewarden_policy_server_replicas_up_to_date{policy_server="default"} 1
# HELP kubewarden_policy_server_replicas_wanted Number of replicas that a PolicyServer is to have.
# TYPE kubewarden_policy_server_replicas_wanted gauge
kubewarden_policy_server_replicas_wanted{policy_server="default"} 3
`
	if err := testutil.CollectAndCompare(collector(builder(t, serving, unseen).Build()), strings.NewReader(want+noInstallation)); err != nil {
		t.Error(err)
	}
}

// noInstallation is what is told where there is no Kubewarden.
const noInstallation = `
# HELP kubewarden_installations Number of Kubewardens, 0 or 1. Without one nothing is enforced.
# TYPE kubewarden_installations gauge
kubewarden_installations 0
`

func TestTheInstallationIsTold(t *testing.T) {
	kubewarden := &operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: operatorv1alpha1.KubewardenName}}
	kubewarden.Spec.Enforcement = operatorv1alpha1.EnforcementSuspended
	kubewarden.Status.Conditions = append(ready(metav1.ConditionFalse, operatorv1alpha1.ReasonSuspended),
		metav1.Condition{Type: operatorv1alpha1.ConditionCertificatesReady, Status: metav1.ConditionTrue})
	kubewarden.Status.Rekeying = &operatorv1alpha1.Rekeying{Step: 3}
	kubewarden.Status.Audit = &operatorv1alpha1.AuditStatus{
		LastSuccessfulTime: &metav1.Time{Time: time.Unix(1900000000, 0)},
		LastRun:            &operatorv1alpha1.AuditRun{Outcome: operatorv1alpha1.AuditOutcomeRunning},
		LastFinished: &operatorv1alpha1.AuditResult{
			AuditRun: operatorv1alpha1.AuditRun{
				Outcome:   operatorv1alpha1.AuditOutcomeFailed,
				StartTime: &metav1.Time{Time: time.Unix(1900000000, 0)}, EndTime: &metav1.Time{Time: time.Unix(1900000090, 0)},
			},
			Summary: &operatorv1alpha1.AuditSummary{
				Objects: 9, Pass: 5, Fail: 3, Error: 1, Skip: 11, Kept: 2, Written: 6, Unchanged: 2, Deleted: 4, UnlistedCount: 7,
				Skipped: map[string]int64{"NotActive": 8}, Unasked: map[string]int64{"ObjectSelector": 10},
			},
		},
	}
	want := `
# HELP kubewarden_audit_last_run_duration_seconds How long the audit that ended last has taken.
# TYPE kubewarden_audit_last_run_duration_seconds gauge
kubewarden_audit_last_run_duration_seconds 90
# HELP kubewarden_audit_last_run_failed Whether the audit that ended last has failed. What is told of it is absent before the first one, and while audits are disabled.
# TYPE kubewarden_audit_last_run_failed gauge
kubewarden_audit_last_run_failed 1
# HELP kubewarden_audit_last_run_kept Number of results that the audit that ended last has taken from reports as they were, without asking.
# TYPE kubewarden_audit_last_run_kept gauge
kubewarden_audit_last_run_kept 2
# HELP kubewarden_audit_last_run_objects Number of objects that the audit that ended last has looked at.
# TYPE kubewarden_audit_last_run_objects gauge
kubewarden_audit_last_run_objects 9
# HELP kubewarden_audit_last_run_reports Number of reports by what the audit that ended last has done with them: written, unchanged, deleted.
# TYPE kubewarden_audit_last_run_reports gauge
kubewarden_audit_last_run_reports{action="deleted"} 4
kubewarden_audit_last_run_reports{action="unchanged"} 2
kubewarden_audit_last_run_reports{action="written"} 6
# HELP kubewarden_audit_last_run_results Number of results of the audit that ended last: pass, fail, error for a question without a verdict, or skip for one that it could not be known whether to put.
# TYPE kubewarden_audit_last_run_results gauge
kubewarden_audit_last_run_results{result="error"} 1
kubewarden_audit_last_run_results{result="fail"} 3
kubewarden_audit_last_run_results{result="pass"} 5
kubewarden_audit_last_run_results{result="skip"} 11
# HELP kubewarden_audit_last_run_skipped Number of policies, and of parts of their rules, that the audit that ended last could not ask about, by reason.
# TYPE kubewarden_audit_last_run_skipped gauge
kubewarden_audit_last_run_skipped{reason="NotActive"} 8
# HELP kubewarden_audit_last_run_unasked Number of questions about an object that the audit that ended last has not put, by reason.
# TYPE kubewarden_audit_last_run_unasked gauge
kubewarden_audit_last_run_unasked{reason="ObjectSelector"} 10
# HELP kubewarden_audit_last_run_unlisted Number of resources that the audit that ended last could not list. Reports about them stay as they were.
# TYPE kubewarden_audit_last_run_unlisted gauge
kubewarden_audit_last_run_unlisted 7
# HELP kubewarden_audit_last_success_timestamp_seconds When an audit was last complete, in Unix time. Absent before the first one, and while audits are disabled.
# TYPE kubewarden_audit_last_success_timestamp_seconds gauge
kubewarden_audit_last_success_timestamp_seconds 1.9e+09
# HELP kubewarden_enforcement_suspended Whether the Kubewarden says that no policy is to be enforced.
# TYPE kubewarden_enforcement_suspended gauge
kubewarden_enforcement_suspended 1
# HELP kubewarden_installation_condition Whether a condition of the Kubewarden is True.
# TYPE kubewarden_installation_condition gauge
kubewarden_installation_condition{condition="CertificatesReady"} 1
kubewarden_installation_condition{condition="Ready"} 0
# HELP kubewarden_installations Number of Kubewardens, 0 or 1. Without one nothing is enforced.
# TYPE kubewarden_installations gauge
kubewarden_installations 1
# HELP kubewarden_rekeying_step Step of four by which another certificate authority takes over; 0 while none does.
# TYPE kubewarden_rekeying_step gauge
kubewarden_rekeying_step 3
`
	if err := testutil.CollectAndCompare(collector(builder(t, kubewarden).Build()), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
}

func TestCertificatesInUseExpire(t *testing.T) {
	authority, err := certs.NewAuthority("test", born)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := certs.Issue(authority, certs.Claim{DNSName: "policy-server-default.kubewarden.svc"}, born)
	if err != nil {
		t.Fatal(err)
	}
	reader := builder(t,
		&policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "waiting"}},
		secret(render.SecretCA, map[string][]byte{render.KeyCA: authority.Certificate, render.KeyOldCA: nil}),
		secret(render.ServingSecretName("default"), map[string][]byte{corev1.TLSCertKey: pair.Certificate, corev1.TLSPrivateKeyKey: pair.Key}),
		secret(render.IssuedName("default"), map[string][]byte{corev1.TLSCertKey: pair.Certificate}),
		secret(render.OwnWebhookPair, map[string][]byte{corev1.TLSCertKey: []byte("none yet")}),
	).Build()
	want := `
# HELP kubewarden_certificate_expiry_timestamp_seconds When a certificate that is in use expires, in Unix time, by the Secret that holds it: the authority, and what policy servers, the operator's own webhooks and the operator itself present.
# TYPE kubewarden_certificate_expiry_timestamp_seconds gauge
kubewarden_certificate_expiry_timestamp_seconds{secret="kubewarden-ca"} AUTHORITY
kubewarden_certificate_expiry_timestamp_seconds{secret="policy-server-default"} PAIR
# HELP kubewarden_certificate_late_timestamp_seconds When a certificate that is in use should have been renewed long since, in Unix time, by the Secret that holds it: half way between its renewal and its end.
# TYPE kubewarden_certificate_late_timestamp_seconds gauge
kubewarden_certificate_late_timestamp_seconds{secret="kubewarden-ca"} AUTHORITYLATE
kubewarden_certificate_late_timestamp_seconds{secret="policy-server-default"} PAIRLATE
`
	const backdating = 5 * time.Minute
	lateIn := func(life time.Duration) string { return seconds(born.Add(life - (life+backdating)/3/2)) }
	want = strings.NewReplacer(
		"AUTHORITYLATE", lateIn(render.AuthorityLifetime), "PAIRLATE", lateIn(render.ServingLifetime), "AUTHORITY", seconds(born.Add(render.AuthorityLifetime)), "PAIR", seconds(born.Add(render.ServingLifetime)),
	).Replace(want)
	err = testutil.CollectAndCompare(collector(reader), strings.NewReader(want),
		"kubewarden_certificate_expiry_timestamp_seconds", "kubewarden_certificate_late_timestamp_seconds")
	if err != nil {
		t.Error(err)
	}
}

// seconds is a time as Prometheus writes it.
func seconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// What cannot be read is missing and logged; the rest is told.
func TestAScrapeSurvivesWhatCannotBeRead(t *testing.T) {
	broken := builder(t).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, next client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, isServers := list.(*policiesv1.PolicyServerList); isServers {
				return errors.New("the cache is broken")
			}
			return next.List(ctx, list, options...)
		},
	}).Build()
	var logged []string
	logger := funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{})
	scraped := metrics.NewCollector(metrics.Config{Reader: broken, Namespace: namespace, Logger: logger})
	if err := testutil.CollectAndCompare(scraped, strings.NewReader(noInstallation)); err != nil {
		t.Error(err)
	}
	if len(logged) != 2 || !strings.Contains(logged[0], `"subject"="policy servers"`) || !strings.Contains(logged[1], `"subject"="certificates"`) {
		t.Errorf("got the lines %q, want one for each subject that could not be read", logged)
	}
}

func TestNamesAndHelpsKeepTheConventions(t *testing.T) {
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	server.Status.Replicas = &policiesv1.PolicyServerReplicas{}
	problems, err := testutil.CollectAndLint(collector(builder(t, server, policy("new", "", nil)).Build()))
	if err != nil || len(problems) > 0 {
		t.Errorf("got the problems %v and error %v, want none", problems, err)
	}
}
