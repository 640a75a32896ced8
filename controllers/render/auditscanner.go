package render

import (
	"cmp"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// commandAuditScanner is the subcommand of the image's one binary.
const commandAuditScanner = "audit-scanner"

// AuditScannerInput is what the audit scanner is rendered from.
type AuditScannerInput struct {
	Config       Config
	Installation Installation
	// Audit is read only.
	Audit operatorv1alpha1.Audit
	// CABundle is what the scanner trusts, in PEM; it must not be empty.
	CABundle []byte
	// Suspended keeps scans from starting; the reports that there are stay as they are.
	Suspended bool
}

// AuditScanner renders the CronJob of the scanner and what it needs, in the order of
// dependence. Rights come with an account of the operator's own only: one that the spec
// names is the user's to bind, but for the Services of the policy servers, without which a
// scan could ask nobody.
func AuditScanner(in AuditScannerInput) []Object {
	objects := []Object{in.trust()}
	if in.Audit.ServiceAccountName == "" {
		objects = append(objects,
			in.account(),
			in.clusterRoleBinding(auditClusterRoleBinding, ClusterRoleAuditScanner),
			in.clusterRoleBinding(auditViewBinding, ClusterRoleView))
	}
	return append(objects, in.role(), in.roleBinding(), in.cronJob())
}

// AuditScannerKinds are all namespaced kinds that AuditScanner can render, and
// AuditScannerClusterKinds those that live in no namespace.
func AuditScannerKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		batchv1.SchemeGroupVersion.WithKind("CronJob"),
		corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
		rbacv1.SchemeGroupVersion.WithKind("Role"),
		rbacv1.SchemeGroupVersion.WithKind("RoleBinding"),
	}
}

// AuditScannerClusterKinds are the cluster-scoped kinds that AuditScanner can render.
func AuditScannerClusterKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{rbacv1.SchemeGroupVersion.WithKind("ClusterRoleBinding")}
}

// AuditScannerLabels are on everything that AuditScanner renders, and on its Jobs.
func AuditScannerLabels(installation string) map[string]string {
	return merge(InstallationLabels(installation), map[string]string{labelComponent: componentAuditScanner})
}

// meta is the metadata of an object; a cluster-scoped one has no namespace.
func (in AuditScannerInput) meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: namespace,
		Labels: merge(AuditScannerLabels(in.Installation.Name), map[string]string{
			labelPartOf:    partOfKubewarden,
			labelManagedBy: managedByController,
		}),
	}
}

// trust holds all authorities in one file, since the scanner reads one, and beside it the
// match condition of all webhooks, which is too long for an argument.
func (in AuditScannerInput) trust() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "ConfigMap"),
		ObjectMeta: in.meta(in.Config.Namespace, auditTrust),
		Data: map[string]string{
			KeyCA:             string(in.CABundle),
			keyMatchCondition: neverLockOutExpression(in.Config),
		},
	}
}

func (in AuditScannerInput) accountName() string {
	return cmp.Or(in.Audit.ServiceAccountName, AuditScannerName)
}

func (in AuditScannerInput) account() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "ServiceAccount"),
		ObjectMeta: in.meta(in.Config.Namespace, AuditScannerName),
	}
}

func (in AuditScannerInput) subjects() []rbacv1.Subject {
	return []rbacv1.Subject{{
		Kind: rbacv1.ServiceAccountKind, Name: in.accountName(), Namespace: in.Config.Namespace,
	}}
}

func (in AuditScannerInput) clusterRoleBinding(name, role string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   typeMeta(rbacv1.SchemeGroupVersion, "ClusterRoleBinding"),
		ObjectMeta: in.meta("", name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   in.subjects(),
	}
}

// role lets the scanner find the policy servers.
func (in AuditScannerInput) role() *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   typeMeta(rbacv1.SchemeGroupVersion, "Role"),
		ObjectMeta: in.meta(in.Config.Namespace, AuditScannerName),
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{corev1.GroupName}, Resources: []string{"services"}, Verbs: []string{"get", "list"},
		}},
	}
}

func (in AuditScannerInput) roleBinding() *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   typeMeta(rbacv1.SchemeGroupVersion, "RoleBinding"),
		ObjectMeta: in.meta(in.Config.Namespace, AuditScannerName),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: AuditScannerName},
		Subjects:   in.subjects(),
	}
}

// Defaults of the schema, for a Kubewarden that has not been through the API server.
const (
	defaultAuditSchedule      = "0 * * * *"
	defaultParallelNamespaces = 1
	defaultParallelResources  = 100
	defaultParallelPolicies   = 5
	defaultPageSize           = 100
	defaultSuccessfulJobs     = 3
	defaultFailedJobs         = 5
	defaultActiveDeadline     = int64(43200)
	defaultStartingDeadline   = int64(600)
)

// auditRetries is how often a scan that failed begins anew, before the next one is due.
// What has been found is not asked again, but what could not be asked seldom can be at
// once: upstream's 6 only keep the cluster busy.
const auditRetries = 2

func (in AuditScannerInput) cronJob() *batchv1.CronJob {
	meta := in.meta(in.Config.Namespace, AuditScannerName)
	return &batchv1.CronJob{
		TypeMeta:   typeMeta(batchv1.SchemeGroupVersion, "CronJob"),
		ObjectMeta: meta,
		Spec: batchv1.CronJobSpec{
			Schedule:                   cmp.Or(in.Audit.Schedule, defaultAuditSchedule),
			ConcurrencyPolicy:          batchv1.ForbidConcurrent,
			Suspend:                    new(in.Suspended),
			StartingDeadlineSeconds:    new(cmp.Or(in.Audit.StartingDeadlineSeconds, defaultStartingDeadline)),
			SuccessfulJobsHistoryLimit: new(valueOr(in.Audit.SuccessfulJobsHistoryLimit, defaultSuccessfulJobs)),
			FailedJobsHistoryLimit:     new(valueOr(in.Audit.FailedJobsHistoryLimit, defaultFailedJobs)),
			JobTemplate: batchv1.JobTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: merge(meta.Labels)},
				Spec: batchv1.JobSpec{
					BackoffLimit:          new(int32(auditRetries)),
					ActiveDeadlineSeconds: new(cmp.Or(in.Audit.ActiveDeadlineSeconds, defaultActiveDeadline)),
					Template: corev1.PodTemplateSpec{
						ObjectMeta: metav1.ObjectMeta{Labels: merge(meta.Labels)},
						Spec:       in.podSpec(),
					},
				},
			},
		},
	}
}

func (in AuditScannerInput) podSpec() corev1.PodSpec {
	pod := corev1.PodSpec{
		ServiceAccountName:           in.accountName(),
		AutomountServiceAccountToken: new(true),
		EnableServiceLinks:           new(false),
		RestartPolicy:                corev1.RestartPolicyNever,
		SecurityContext:              podSecurityContext(policiesv1.PolicyServerSecurity{}),
		PriorityClassName:            in.Audit.PriorityClassName,
		NodeSelector:                 merge(in.Audit.NodeSelector),
		Affinity:                     in.Audit.Affinity.DeepCopy(),
		Containers:                   []corev1.Container{in.container()},
		Volumes: []corev1.Volume{
			{Name: volumeAuditTrust, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: auditTrust},
				Items:                []corev1.KeyToPath{{Key: KeyCA, Path: KeyCA}, {Key: keyMatchCondition, Path: keyMatchCondition}},
			}}},
			{Name: volumeAuditClient, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: ScannerAsClient().Presented},
			}},
		},
	}
	for _, secret := range in.Config.ImagePullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: secret})
	}
	for _, toleration := range in.Audit.Tolerations {
		pod.Tolerations = append(pod.Tolerations, *toleration.DeepCopy())
	}
	return pod
}

// The files of authorities, of the match condition and the pair in the scanner's container; the
// folders are upstream's.
const (
	volumeAuditTrust  = "kubewarden-ca-secret"
	dirAuditTrust     = "/pki"
	keyMatchCondition = "never-lock-out.cel"
	volumeAuditClient = "kubewarden-audit-scanner-client-cert"
	dirAuditClient    = "/client-cert"
)

func (in AuditScannerInput) container() corev1.Container {
	return corev1.Container{
		Name:      AuditScannerName,
		Image:     in.Config.Image,
		Args:      in.arguments(),
		Resources: in.resources(),
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeAuditTrust, MountPath: dirAuditTrust, ReadOnly: true},
			{Name: volumeAuditClient, MountPath: dirAuditClient, ReadOnly: true},
		},
		SecurityContext: containerSecurityContext(policiesv1.PolicyServerSecurity{}),
	}
}

// arguments are upstream's words, in upstream's order, and last those that upstream lacks.
func (in AuditScannerInput) arguments() []string {
	arguments := []string{
		commandAuditScanner,
		"--kubewarden-namespace", in.Config.Namespace,
		"--loglevel", string(cmp.Or(in.Audit.LogLevel, "info")),
	}
	for _, number := range []struct {
		flag             string
		value, otherwise int32
	}{
		{"--parallel-namespaces", in.Audit.ParallelNamespaces, defaultParallelNamespaces},
		{"--parallel-resources", in.Audit.ParallelResources, defaultParallelResources},
		{"--parallel-policies", in.Audit.ParallelPolicies, defaultParallelPolicies},
		{"--page-size", in.Audit.PageSize, defaultPageSize},
	} {
		arguments = append(arguments, number.flag, strconv.Itoa(int(cmp.Or(number.value, number.otherwise))))
	}
	if in.Audit.DisableStore {
		arguments = append(arguments, "--disable-store")
	}
	arguments = append(arguments, "--extra-ca", dirAuditTrust+"/"+KeyCA,
		"--client-cert", dirAuditClient+"/"+corev1.TLSCertKey, "--client-key", dirAuditClient+"/"+corev1.TLSPrivateKeyKey)
	if in.Audit.OutputScan {
		arguments = append(arguments, "--output-scan")
	}
	for _, namespace := range sorted(in.Audit.SkipNamespaces) {
		arguments = append(arguments, "-i", namespace)
	}
	arguments = append(arguments, "--report-kind",
		string(cmp.Or(in.Audit.ReportKind, operatorv1alpha1.AuditReportKindPolicyReport)))
	for _, namespace := range sorted(in.Installation.ExemptNamespaces) {
		arguments = append(arguments, "--exempt-namespaces", namespace)
	}
	arguments = append(arguments, "--match-condition", dirAuditTrust+"/"+keyMatchCondition)
	for _, operation := range sorted(in.Audit.Operations) {
		arguments = append(arguments, "--operations", string(operation))
	}
	return append(arguments, "--summary-file", corev1.TerminationMessagePathDefault)
}

// sorted has each value once; lists of the spec are sets.
func sorted[T cmp.Ordered](values []T) []T {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}

// resources are upstream's unless the spec says otherwise. Requests above limits of the
// user's would be refused, so limits alone leave them out.
func (in AuditScannerInput) resources() corev1.ResourceRequirements {
	limits, requests := in.Audit.Limits.DeepCopy(), in.Audit.Requests.DeepCopy()
	if limits == nil && requests == nil {
		requests = resources("250m", "300Mi")
	}
	if limits == nil {
		limits = resources("500m", "1Gi")
	}
	return corev1.ResourceRequirements{Limits: limits, Requests: requests}
}

func resources(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(cpu),
		corev1.ResourceMemory: resource.MustParse(memory),
	}
}

// AuditJob is one scan outside of the schedule: what the CronJob would start, under a name
// of its own. The annotation is the one that kubectl create job --from puts on such a Job.
func AuditJob(in AuditScannerInput, name string) *batchv1.Job {
	template := in.cronJob().Spec.JobTemplate
	meta := in.meta(in.Config.Namespace, name)
	meta.Annotations = map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}
	return &batchv1.Job{
		TypeMeta:   typeMeta(batchv1.SchemeGroupVersion, "Job"),
		ObjectMeta: meta,
		Spec:       template.Spec,
	}
}
