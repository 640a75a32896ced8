package render

import "maps"

// Labels and annotations. All but those of the group operator.kubewarden.io are
// upstream's (constants.go of its controller), values included: selectors of dashboards,
// network policies and the audit scanner name them.
const (
	// LabelPolicyServer names the PolicyServer an object belongs to.
	LabelPolicyServer = "kubewarden/policy-server"

	// configVersion is a label of Pods and an annotation of the Deployment: which
	// configuration Pods were started with. Its value is ours, and only under upstream's
	// contract there is one.
	configVersion = "kubewarden/config-version"

	labelApp       = "app"
	labelName      = "app.kubernetes.io/name"
	labelComponent = "app.kubernetes.io/component"
	labelInstance  = "app.kubernetes.io/instance"
	labelPartOf    = "app.kubernetes.io/part-of"
	labelManagedBy = "app.kubernetes.io/managed-by"

	componentPolicyServer = "policy-server"
	componentAuditScanner = "audit-scanner"
	componentPolicy       = "policy"
	componentMonitoring   = "monitoring"
	// componentContextWatcher is the label's value on what lets policies read the cluster.
	componentContextWatcher = "context-watcher"
	partOfKubewarden        = "kubewarden"
	managedByController     = "kubewarden-controller"

	// AnnotationPolicyName and AnnotationPolicyNamespace lead from a webhook
	// configuration to its policy; the namespace of a cluster-wide policy is "".
	AnnotationPolicyName      = "kubewardenPolicyName"
	AnnotationPolicyNamespace = "kubewardenPolicyNamespace"

	// AnnotationCertFormat is the version of the layout of a certificate Secret.
	AnnotationCertFormat = "kubewarden.io/cert-format-version"
	// CertFormat is its value.
	CertFormat = "1"

	// LabelInstallation is on every object the operator makes, and on none that
	// upstream's controller or a user made. Its value is the name of the Kubewarden.
	LabelInstallation = "operator.kubewarden.io/installation"
	// AnnotationInstallationUID is the UID of the Kubewarden an object was made for. What
	// no owner reference can reach is found by it once that Kubewarden is gone.
	AnnotationInstallationUID = "operator.kubewarden.io/installation-uid"
	// AnnotationCAChangedAt is when the published authorities last changed, RFC 3339.
	AnnotationCAChangedAt = "operator.kubewarden.io/ca-changed-at"
	// AnnotationBuiltIn is on pairs that the built-in provider issued, and tells them from
	// those that cert-manager issued into a Secret of the same name. Its value is "true".
	AnnotationBuiltIn = "operator.kubewarden.io/built-in"
	// annotationStartedWith is on Pods that do not report: what they would, as JSON.
	annotationStartedWith = "operator.kubewarden.io/started-with"
	// AnnotationChosenBecause says, on the authority of the built-in provider, what kept
	// cert-manager from being chosen. It is for conditions, long after the choice.
	AnnotationChosenBecause = "operator.kubewarden.io/chosen-because"
	// AnnotationMadeFor is on an authority: the value of the annotation kubewarden.io/rekey
	// of the Kubewarden when it was made. AnnotationMadeBecause says why it was made; the
	// first one has none.
	AnnotationMadeFor     = "operator.kubewarden.io/made-for"
	AnnotationMadeBecause = "operator.kubewarden.io/made-because"
	// AnnotationPresentedAt is on the mounted Secret of a policy server: when its pair took
	// the place of another one, RFC 3339.
	AnnotationPresentedAt = "operator.kubewarden.io/presented-at"
)

// IsOurs says whether an object with these labels was made by this operator.
func IsOurs(labels map[string]string) bool {
	_, ok := labels[LabelInstallation]
	return ok
}

// InstallationLabels selects everything that was made for an installation.
func InstallationLabels(installation string) map[string]string {
	return map[string]string{LabelInstallation: installation}
}

// PolicyServerLabels selects the children of a PolicyServer, its Pods included.
func PolicyServerLabels(policyServer string) map[string]string {
	return map[string]string{LabelPolicyServer: policyServer}
}

// commonLabels are the four that upstream puts on every child of a PolicyServer, and the
// one that names the PolicyServer.
func commonLabels(policyServer string) map[string]string {
	return map[string]string{
		LabelPolicyServer: policyServer,
		labelComponent:    componentPolicyServer,
		labelInstance:     childName(policyServer),
		labelPartOf:       partOfKubewarden,
		labelManagedBy:    managedByController,
	}
}

// appLabelValue is the value of the label that Deployments of all versions select by; a
// selector can never change, so neither can this.
func appLabelValue(policyServer string) string { return "kubewarden-" + childName(policyServer) }

// merge returns a new map; later maps win.
func merge(layers ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, layer := range layers {
		maps.Copy(merged, layer)
	}
	return merged
}
