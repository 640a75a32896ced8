package render

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// ConfigMap is what the replicas watch: the policies, where they may come from, and the
// number of the contract that both are written in. Keys are upstream's
// (policyserver_controller_configmap.go) but for the last.
func ConfigMap(in PolicyServerInput) (*corev1.ConfigMap, error) {
	policies, err := contract.EncodePolicies(in.Policies)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", contract.KeyPolicies, err)
	}
	sources, err := contract.EncodeSources(sources(in.Server.Spec))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", contract.KeySources, err)
	}
	return &corev1.ConfigMap{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "ConfigMap"),
		ObjectMeta: in.childMeta(contract.ConfigMapName(in.Server.Name)),
		Data: map[string]string{
			contract.KeyPolicies: string(policies),
			contract.KeySources:  string(sources),
			contract.KeyContract: strconv.Itoa(contract.Version),
		},
	}, nil
}

// ReportConfigMap is where the replicas report. Only its metadata is rendered: each
// replica owns the key of its own name, and whoever renders data would own them all.
func ReportConfigMap(in PolicyServerInput) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "ConfigMap"),
		ObjectMeta: in.childMeta(contract.ReportConfigMapName(in.Server.Name)),
	}
}

func sources(spec policiesv1.PolicyServerSpec) contract.Sources {
	sources := contract.Sources{InsecureSources: slices.Clone(spec.InsecureSources)}
	for host, certificates := range spec.SourceAuthorities {
		if sources.SourceAuthorities == nil {
			sources.SourceAuthorities = map[string][]contract.Authority{}
		}
		for _, certificate := range certificates {
			authority := contract.Authority{Type: contract.AuthorityData, Data: certificate}
			sources.SourceAuthorities[host] = append(sources.SourceAuthorities[host], authority)
		}
	}
	return sources
}
