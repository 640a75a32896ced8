package render

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// ConfigMap is what the replicas watch, or mount where they follow upstream's contract: the policies, where they may come from, and the
// number of the contract that both are written in, how large a report may be, which
// policies got no room, and what to fall back on. The first two keys are upstream's
// (policyserver_controller_configmap.go).
func ConfigMap(in PolicyServerInput) (*corev1.ConfigMap, error) {
	if in.rolls() {
		in.Policies, in.LastGood = withoutPins(in.Policies), nil
	}
	policies, err := contract.EncodePolicies(in.Policies)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", contract.KeyPolicies, err)
	}
	sources, err := contract.EncodeSources(sources(in.Server.Spec))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", contract.KeySources, err)
	}
	data := map[string]string{
		contract.KeyPolicies: string(policies),
		contract.KeySources:  string(sources),
	}
	if in.rolls() {
		data[keyRollout] = in.Former.next(data)
	} else {
		data[contract.KeyContract] = strconv.Itoa(contract.Version)
		data[contract.KeyReportLimit] = strconv.Itoa(contract.ReportLimit(in.mostReplicas()))
	}
	if len(in.Refused) > 0 {
		if data[KeyRefused], err = encodeRefused(in.Refused); err != nil {
			return nil, err
		}
	}
	lastGood, err := encodeLastGood(in.LastGood, maxConfigBytes-len(policies)-len(sources))
	if err != nil {
		return nil, err
	}
	if lastGood != "" {
		data[contract.KeyLastGood] = lastGood
	}
	return &corev1.ConfigMap{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "ConfigMap"),
		ObjectMeta: in.childMeta(contract.ConfigMapName(in.Server.Name)),
		Data:       data,
	}, nil
}

// mostReplicas is how many reports there may be at once: in a roll-out each replica has a
// successor, and one more may be on its way.
func (in PolicyServerInput) mostReplicas() int { return 2*int(in.highestReplicas()) + 1 }

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
