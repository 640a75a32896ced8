package render

import (
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PriorityClassName is the priority class of the Pods of policy servers whose spec names none,
// and of the operator's own. Kubernetes's system-cluster-critical would not do: some providers
// refuse it outside kube-system.
const PriorityClassName = "kubewarden-critical"

// priority leaves a tenth of what users may give to what the owner of a cluster wants before
// policy servers. The API server lets nobody change the value of a class: neither can this.
const priority = 900_000_000

// PriorityClass is the class of that name, as config/manager has it. It belongs to the operator
// and not to an installation, since the operator's own Deployment names it.
func PriorityClass() *schedulingv1.PriorityClass {
	return &schedulingv1.PriorityClass{
		TypeMeta: typeMeta(schedulingv1.SchemeGroupVersion, "PriorityClass"),
		ObjectMeta: metav1.ObjectMeta{
			Name:   PriorityClassName,
			Labels: map[string]string{labelName: "kubewarden-operator", labelPartOf: partOfKubewarden},
		},
		Value:       priority,
		Description: "Policy servers, which every guarded request waits for, and their operator.",
	}
}

// priorityClassName is that of the Pods. Servers of upstream's contract get what the spec says,
// as they do from upstream: another class would restart them.
func (in PolicyServerInput) priorityClassName() string {
	if name := in.Server.Spec.PriorityClassName; name != "" || in.rolls() {
		return name
	}
	return PriorityClassName
}
