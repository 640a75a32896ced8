package render_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Where things are in the children of a PolicyServer.
const (
	podMeta   = "Deployment.spec.template.metadata."
	podSpec   = "Deployment.spec.template.spec."
	container = podSpec + "containers[0]."
)

// policyServerFields is about a server with a namespaced policy, since some fields are for
// those alone.
func policyServerFields() aFieldTable {
	type spec = policiesv1.PolicyServerSpec
	return fieldTable[*policiesv1.PolicyServer, spec]{
		base: func() *policiesv1.PolicyServer {
			server := server()
			server.SetGroupVersionKind(policiesv1.GroupVersion.WithKind("PolicyServer"))
			return server
		},
		spec: func(server *policiesv1.PolicyServer) *spec { return &server.Spec },
		children: func(t *testing.T, server *policiesv1.PolicyServer) []render.Object {
			t.Helper()
			in := serverInput()
			in.Server = server
			id, entry, err := render.Entry(tenantsPolicy(), server)
			if err != nil {
				t.Fatal(err)
			}
			in.Policies = contract.Policies{id: entry}
			return mustRender(t, in)
		},
		rows: join(scaleRows(), metadataRows(), containerRows(), sourceRows(), schedulingRows(), securityRows(), portRows()),
	}
}

type serverRows = map[string]fieldRow[policiesv1.PolicyServerSpec]

func scaleRows() serverRows {
	type spec = policiesv1.PolicyServerSpec
	return serverRows{
		"replicas": {
			set: func(s *spec) { s.Replicas = new(int32(20)) },
			// Many replicas have less room each to report in.
			want: changes{"Deployment.spec.replicas": `20`, "report-limit": `"22478"`},
		},
		"minAvailable": {
			set: func(s *spec) { s.MinAvailable = new(intstr.FromString("50%")) },
			want: changes{
				"PodDisruptionBudget.spec.minAvailable": `"50%"`, "PodDisruptionBudget.spec.maxUnavailable": gone,
			},
		},
		"maxUnavailable": {
			set:  func(s *spec) { s.MaxUnavailable = new(intstr.FromInt32(2)) },
			want: changes{"PodDisruptionBudget.spec.maxUnavailable": `2`},
		},
	}
}

func metadataRows() serverRows {
	type spec = policiesv1.PolicyServerSpec
	return serverRows{
		"annotations": {
			set: func(s *spec) { s.Annotations = map[string]string{"example.com/team": "security"} },
			want: changes{
				"Deployment.metadata.annotations.example.com/team": `"security"`,
				podMeta + "annotations.example.com/team":           `"security"`,
			},
		},
		"labels": {
			set: func(s *spec) { s.Labels = map[string]string{"example.com/tier": "control"} },
			want: changes{
				"Deployment.metadata.labels.example.com/tier": `"control"`,
				podMeta + "labels.example.com/tier":           `"control"`,
			},
		},
	}
}

func containerRows() serverRows {
	type spec = policiesv1.PolicyServerSpec
	return serverRows{
		"image": {
			set:  func(s *spec) { s.Image = "mirror.example.com/tools/kubewarden-operator:0.1.1" },
			want: changes{container + "image": `"mirror.example.com/tools/kubewarden-operator:0.1.1"`},
		},
		"env": {
			set: func(s *spec) {
				s.Env = []corev1.EnvVar{
					{Name: "HTTPS_PROXY", Value: "http://proxy.example.com:3128"},
					{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
						LocalObjectReference: corev1.LocalObjectReference{Name: "proxy"}, Key: "token", Optional: new(true),
					}}},
				}
			},
			want: changes{
				container + "env[HTTPS_PROXY].name":                      `"HTTPS_PROXY"`,
				container + "env[HTTPS_PROXY].value":                     `"http://proxy.example.com:3128"`,
				container + "env[TOKEN].name":                            `"TOKEN"`,
				container + "env[TOKEN].valueFrom.secretKeyRef.name":     `"proxy"`,
				container + "env[TOKEN].valueFrom.secretKeyRef.key":      `"token"`,
				container + "env[TOKEN].valueFrom.secretKeyRef.optional": `true`,
			},
		},
		"limits": {
			set: func(s *spec) {
				s.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourceCPU: resource.MustParse("2")}
			},
			want: changes{container + "resources.limits.memory": `"1Gi"`, container + "resources.limits.cpu": `"2"`},
		},
		"requests": {
			set:  func(s *spec) { s.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")} },
			want: changes{container + "resources.requests.cpu": `"250m"`},
		},
	}
}

func sourceRows() serverRows {
	type spec = policiesv1.PolicyServerSpec
	return serverRows{
		"imagePullSecret": {
			set: func(s *spec) { s.ImagePullSecret = "registry-login" },
			want: together(
				mounted("imagepullsecret", "/home/kubewarden/.docker"),
				variable("KUBEWARDEN_DOCKER_CONFIG_JSON_PATH", "/home/kubewarden/.docker"),
				changes{
					podSpec + "volumes[imagepullsecret].secret.secretName":    `"registry-login"`,
					podSpec + "volumes[imagepullsecret].secret.items[0].key":  `".dockerconfigjson"`,
					podSpec + "volumes[imagepullsecret].secret.items[0].path": `"config.json"`,
				}),
		},
		"insecureSources": {
			set:  func(s *spec) { s.InsecureSources = []string{"registry.local:5000", "localhost:5000"} },
			want: changes{"sources.yml.insecure_sources": `["registry.local:5000","localhost:5000"]`},
		},
		"sourceAuthorities": {
			set: func(s *spec) {
				s.SourceAuthorities = map[string][]string{"registry.example.com": {"one", "two"}}
			},
			want: changes{
				"sources.yml.source_authorities.registry.example.com[0].type": `"Data"`,
				"sources.yml.source_authorities.registry.example.com[0].data": `"one"`,
				"sources.yml.source_authorities.registry.example.com[1].type": `"Data"`,
				"sources.yml.source_authorities.registry.example.com[1].data": `"two"`,
			},
		},
		"verificationConfig": {
			set: func(s *spec) { s.VerificationConfig = "signatures" },
			want: together(
				mounted("verification", "/verification"),
				variable("KUBEWARDEN_VERIFICATION_CONFIG_PATH", "/verification/verification.yml"),
				changes{
					podSpec + "volumes[verification].configMap.name":          `"signatures"`,
					podSpec + "volumes[verification].configMap.items[0].key":  `"verification-config"`,
					podSpec + "volumes[verification].configMap.items[0].path": `"verification.yml"`,
				}),
		},
		"sigstoreTrustConfig": {
			set: func(s *spec) { s.SigstoreTrustConfig = "sigstore-roots" },
			want: together(
				mounted("sigstore-trust-config", "/sigstore-trust"),
				variable("KUBEWARDEN_SIGSTORE_TRUST_CONFIG_PATH", "/sigstore-trust/sigstore-trust-config.json"),
				changes{
					podSpec + "volumes[sigstore-trust-config].configMap.name":          `"sigstore-roots"`,
					podSpec + "volumes[sigstore-trust-config].configMap.items[0].key":  `"sigstore-trust-config"`,
					podSpec + "volumes[sigstore-trust-config].configMap.items[0].path": `"sigstore-trust-config.json"`,
				}),
		},
		"namespacedPoliciesCapabilities": {
			set: func(s *spec) {
				s.NamespacedPoliciesCapabilities = []policiesv1.HostCapability{"oci/*", "net/v1/dns_lookup_host"}
			},
			want: changes{"policies.yml[*].hostCapabilities": `["oci/*","net/v1/dns_lookup_host"]`},
		},
	}
}

// mounted is a volume, and where the container has it.
func mounted(volume, path string) changes {
	return changes{
		podSpec + "volumes[" + volume + "].name":             `"` + volume + `"`,
		container + "volumeMounts[" + volume + "].name":      `"` + volume + `"`,
		container + "volumeMounts[" + volume + "].mountPath": `"` + path + `"`,
		container + "volumeMounts[" + volume + "].readOnly":  `true`,
	}
}

// variable is a variable of the container's environment.
func variable(name, value string) changes {
	return changes{
		container + "env[" + name + "].name":  `"` + name + `"`,
		container + "env[" + name + "].value": `"` + value + `"`,
	}
}

func schedulingRows() serverRows {
	type spec = policiesv1.PolicyServerSpec
	return serverRows{
		"affinity": {
			set: func(s *spec) { s.Affinity = allAffinities() },
			want: changes{
				podSpec + "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key":      `"disk"`,
				podSpec + "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator": `"Exists"`,
				podSpec + "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight":                                         `7`,
				podSpec + "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey":                    `"kubernetes.io/hostname"`,
				podSpec + "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey":                                 `"kubernetes.io/hostname"`,
				podSpec + "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchLabels.tier":              `"control"`,
				// Replicas that may not be neighbours need a free node, or one of them goes first.
				"Deployment.spec.strategy.rollingUpdate.maxUnavailable": `1`,
				// What the user says replaces what is the default.
				podSpec + "topologySpreadConstraints[0].labelSelector.matchLabels.app": gone,
				podSpec + "topologySpreadConstraints[0].matchLabelKeys":                gone,
				podSpec + "topologySpreadConstraints[0].maxSkew":                       gone,
				podSpec + "topologySpreadConstraints[0].topologyKey":                   gone,
				podSpec + "topologySpreadConstraints[0].whenUnsatisfiable":             gone,
			},
		},
		"tolerations": {
			set: func(s *spec) {
				s.Tolerations = []corev1.Toleration{
					{Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "control", Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(60))},
					{Operator: corev1.TolerationOpExists},
				}
			},
			want: changes{
				podSpec + "tolerations[0].key":               `"dedicated"`,
				podSpec + "tolerations[0].operator":          `"Equal"`,
				podSpec + "tolerations[0].value":             `"control"`,
				podSpec + "tolerations[0].effect":            `"NoExecute"`,
				podSpec + "tolerations[0].tolerationSeconds": `60`,
				podSpec + "tolerations[1].operator":          `"Exists"`,
			},
		},
		"priorityClassName": {
			set:  func(s *spec) { s.PriorityClassName = "system-cluster-critical" },
			want: changes{podSpec + "priorityClassName": `"system-cluster-critical"`},
		},
	}
}

func allAffinities() corev1.Affinity {
	term := corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname}
	apart := corev1.PodAffinityTerm{
		TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "control"}},
	}
	return corev1.Affinity{
		NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "disk", Operator: corev1.NodeSelectorOpExists}},
			}},
		}},
		PodAffinity: &corev1.PodAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 7, PodAffinityTerm: term}},
		},
		PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{apart}},
	}
}

func securityRows() serverRows {
	type spec = policiesv1.PolicyServerSpec
	return serverRows{
		"serviceAccountName": {
			set: func(s *spec) { s.ServiceAccountName = "policy-reader" },
			want: together(
				goneChild("ServiceAccount"),
				changes{
					podSpec + "serviceAccountName": `"policy-reader"`,
					"RoleBinding.subjects[0].name": `"policy-reader"`,
				}),
		},
		"securityContexts.pod": {
			set: func(s *spec) {
				s.SecurityContexts.Pod = &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), FSGroup: new(int64(2000))}
			},
			want: changes{
				podSpec + "securityContext.runAsUser":           `1000`,
				podSpec + "securityContext.fsGroup":             `2000`,
				podSpec + "securityContext.runAsNonRoot":        gone,
				podSpec + "securityContext.seccompProfile.type": gone,
			},
		},
		"securityContexts.container": {
			set: func(s *spec) {
				s.SecurityContexts.Container = &corev1.SecurityContext{ReadOnlyRootFilesystem: new(true), RunAsUser: new(int64(1000))}
			},
			want: changes{
				container + "securityContext.runAsUser":                `1000`,
				container + "securityContext.runAsNonRoot":             gone,
				container + "securityContext.privileged":               gone,
				container + "securityContext.allowPrivilegeEscalation": gone,
				container + "securityContext.capabilities.drop":        gone,
			},
		},
	}
}

// goneChild is a child with the usual metadata that is rendered no more.
func goneChild(kind string) changes {
	lost := changes{kind: gone, kind + ".kind": gone, kind + ".apiVersion": gone, kind + ".metadata.name": gone, kind + ".metadata.namespace": gone}
	for _, label := range []string{
		"app.kubernetes.io/component", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/part-of",
		"kubewarden/policy-server", "operator.kubewarden.io/installation",
	} {
		lost[kind+".metadata.labels."+label] = gone
	}
	return lost
}

func portRows() serverRows {
	type spec = policiesv1.PolicyServerSpec
	return serverRows{
		"webhookPort": {
			set: func(s *spec) { s.WebhookPort = new(int32(9443)) },
			want: changes{
				container + "ports[policy-server].containerPort": `9443`,
				container + "env[KUBEWARDEN_PORT].value":         `"9443"`,
				"Service.spec.ports[policy-server].targetPort":   `9443`,
				"NetworkPolicy.spec.ingress[0].ports[0].port":    `9443`,
			},
		},
		"readinessProbePort": {
			set: func(s *spec) { s.ReadinessProbePort = new(int32(9081)) },
			want: changes{
				container + "ports[readiness].containerPort":             `9081`,
				container + "readinessProbe.httpGet.port":                `9081`,
				container + "env[KUBEWARDEN_READINESS_PROBE_PORT].value": `"9081"`,
				"NetworkPolicy.spec.ingress[0].ports[1].port":            `9081`,
			},
		},
		// The container's own port stays what it is.
		"metricsPort": {
			set:  func(s *spec) { s.MetricsPort = new(int32(9090)) },
			want: changes{"Service.spec.ports[metrics].port": `9090`},
		},
	}
}
