package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Servers of upstream's contract read files when they start and tell nobody what they serve.
// So a change of what they read restarts them, and the operator writes on each Pod what the
// Pod would report: what it was started with.

// keyRollout is the key of a policy server's ConfigMap under which the operator counts the
// configurations that Pods may have been started with.
const keyRollout = "rollout"

// maxStartedWith bounds annotationStartedWith, in bytes. The annotations of an object may
// have 256 KiB together, and some are the user's.
const maxStartedWith = 192 << 10

// FormerRollout is what a roll-out starts from.
type FormerRollout struct {
	// Data is that of the ConfigMap as the API server has it; nil when there is none.
	Data map[string]string
	// Version is what FormerVersion gives.
	Version string
}

// FormerVersion is the version of the configuration that a Deployment rolls out; "" for none.
func FormerVersion(deployment *appsv1.Deployment) string {
	return deployment.Annotations[configVersion]
}

// next counts a configuration. A hash of the content would not do: a Pod that starts while a
// change stands that is taken back would count as one that never saw it.
func (f FormerRollout) next(data map[string]string) string {
	count, before := counted(f.Data[keyRollout]), counted(f.Version)
	same := count > 0 && count >= before
	for _, key := range []string{contract.KeyPolicies, contract.KeySources} {
		same = same && f.Data[key] == data[key]
	}
	if same {
		return strconv.Itoa(count)
	}
	return strconv.Itoa(max(count, before) + 1)
}

// counted reads the number that a text begins with; 0 for none.
func counted(version string) int {
	number, _, _ := strings.Cut(version, "-")
	count, err := strconv.Atoi(number)
	if err != nil || count < 0 {
		return 0
	}
	return count
}

// markRollout has a Deployment replace its Pods whenever what they read at start changed.
func (in PolicyServerInput) markRollout(deployment *appsv1.Deployment, configMap *corev1.ConfigMap) error {
	startedWith, err := in.startedWith()
	if err != nil {
		return err
	}
	version := configMap.Data[keyRollout] + "-" +
		contract.ShortHash(configMap.Data[contract.KeyPolicies]+"\n"+configMap.Data[contract.KeySources])
	deployment.Annotations = merge(deployment.Annotations, map[string]string{configVersion: version})
	template := &deployment.Spec.Template
	template.Labels = merge(template.Labels, map[string]string{configVersion: version})
	template.Annotations = merge(template.Annotations, map[string]string{annotationStartedWith: startedWith})
	return nil
}

// startedWith is what a Pod would report that was started with the configuration.
func (in PolicyServerInput) startedWith() (string, error) {
	revision, err := contract.ConfigRevision(in.Policies)
	if err != nil {
		return "", err
	}
	report := contract.Report{ConfigRevision: revision, ServingCertificate: in.ServingCertificate}
	encoded, err := json.Marshal(report)
	if err != nil {
		return "", fmt.Errorf("encode what Pods are started with: %w", err)
	}
	left := maxStartedWith - len(encoded) - len(`,"truncated":true,"policies":{}`)
	report.Policies = make(map[string]contract.Served, len(in.Policies))
	for _, id := range slices.Sorted(maps.Keys(in.Policies)) {
		served, err := servedWithoutDigest(in.Policies[id])
		if err != nil {
			return "", fmt.Errorf("compute the revision of policy %q: %w", id, err)
		}
		one, err := json.Marshal(map[string]contract.Served{id: served})
		if err != nil {
			return "", fmt.Errorf("encode what Pods are started with: %w", err)
		}
		if left -= len(one); left < 0 {
			report.Truncated = true
			break
		}
		report.Policies[id] = served
	}
	if encoded, err = json.Marshal(report); err != nil {
		return "", fmt.Errorf("encode what Pods are started with: %w", err)
	}
	return string(encoded), nil
}

// servedWithoutDigest is an entry that is served by somebody who does not tell of which module.
func servedWithoutDigest(entry contract.Entry) (contract.Served, error) {
	revision, err := contract.Revision(entry, "")
	return contract.Served{Revision: revision, Owner: contract.OwnerHash(entry.UID)}, err
}

// StartedWith reads what a Pod, or a template of Pods, says that it was started with. It is
// false for Pods that report by themselves; an error means that somebody damaged it.
func StartedWith(annotations map[string]string) (report contract.Report, silent bool, err error) {
	text, silent := annotations[annotationStartedWith]
	if !silent {
		return contract.Report{}, false, nil
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		return contract.Report{}, true, fmt.Errorf("decode annotation %s: %w", annotationStartedWith, err)
	}
	return report, true, nil
}

// withoutPins takes from entries what upstream's readers do not know. They would refuse a
// whole file for it, and nobody tells them what a tag stands for.
func withoutPins(policies contract.Policies) contract.Policies {
	unpinned := make(contract.Policies, len(policies))
	for id, entry := range policies {
		entry.ModuleDigest, entry.InstanceMode = "", ""
		entry.Policies = maps.Clone(entry.Policies)
		for name, member := range entry.Policies {
			member.ModuleDigest = ""
			entry.Policies[name] = member
		}
		unpinned[id] = entry
	}
	return unpinned
}

// rolloutFiles are the files that replace what other servers watch. Sources are mounted
// where there are any, as upstream does.
func (in PolicyServerInput) rolloutFiles() []optionalFile {
	if !in.rolls() {
		return nil
	}
	name := contract.ConfigMapName(in.Server.Name)
	files := []optionalFile{{
		volume: volumePolicies, mountPath: contract.DirConfig,
		source:   fromConfigMap(name, contract.KeyPolicies, contract.KeyPolicies),
		variable: contract.EnvPolicies, value: contract.FilePolicies,
	}}
	if len(in.Server.Spec.InsecureSources) > 0 || len(in.Server.Spec.SourceAuthorities) > 0 {
		files = append(files, optionalFile{
			volume: volumeSources, mountPath: contract.DirSources,
			source:   fromConfigMap(name, contract.KeySources, contract.KeySources),
			variable: contract.EnvSourcesPath, value: contract.FileSources,
		})
	}
	return files
}

// lameDuck, in seconds, is how long a replica that is to stop goes on to serve: until no API
// server sends to it any more. Upstream's servers do not wait by themselves.
const lameDuck = 5

// gracePeriod, in seconds, is shorter where a server may not know that it is to stop, and a
// change of a policy waits until it is gone: lameDuck, and the longest timeout of a webhook.
func (in PolicyServerInput) gracePeriod() int64 {
	if in.rolls() {
		return lameDuck + 30
	}
	return terminationGracePeriod
}

func leaveSlowly() *corev1.Lifecycle {
	return &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: lameDuck}}}
}
