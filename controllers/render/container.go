package render

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// commandPolicyServer is the subcommand of the image's one binary.
const commandPolicyServer = "policy-server"

// Volumes; the names are upstream's (policyserver_controller_deployment.go).
const (
	volumeScratch       = "policy-store"
	volumeCertificates  = "certs"
	volumePolicies      = "policies"
	volumeSources       = "sources"
	volumeOperatorCA    = "operator-ca"
	volumePullSecret    = "imagepullsecret"
	volumeVerification  = "verification"
	volumeSigstoreTrust = "sigstore-trust-config"
)

func (in PolicyServerInput) container() corev1.Container {
	spec, ports := in.Server.Spec, in.ports()
	container := corev1.Container{
		Name:  childName(in.Server.Name),
		Image: Image(in.Server, in.Config.Image),
		Env:   in.environment(),
		Ports: in.containerPorts(ports),
		Resources: corev1.ResourceRequirements{
			Limits:   spec.Limits.DeepCopy(),
			Requests: spec.Requests.DeepCopy(),
		},
		VolumeMounts:    in.mounts(),
		ReadinessProbe:  readinessProbe(ports.readiness),
		SecurityContext: containerSecurityContext(spec.SecurityContexts),
	}
	if in.rolls() {
		container.Lifecycle = leaveSlowly()
	} else {
		container.Args = []string{commandPolicyServer}
	}
	return container
}

func (in PolicyServerInput) containerPorts(ports ports) []corev1.ContainerPort {
	listening := []corev1.ContainerPort{
		{Name: PortName, ContainerPort: ports.webhook, Protocol: corev1.ProtocolTCP},
		{Name: "readiness", ContainerPort: ports.readiness, Protocol: corev1.ProtocolTCP},
	}
	if !in.withoutMetrics() {
		listening = append(listening, corev1.ContainerPort{
			Name: metricsPortName, ContainerPort: ports.metrics, Protocol: corev1.ProtocolTCP,
		})
	}
	return listening
}

// withoutMetrics says whether there is no port for metrics. Where the env of the
// PolicyServer has a say, there is one. Servers of upstream's contract push theirs.
func (in PolicyServerInput) withoutMetrics() bool {
	return in.rolls() || in.Installation.WithoutMetrics && !slices.ContainsFunc(in.Server.Spec.Env, func(variable corev1.EnvVar) bool {
		return variable.Name == contract.EnvEnableMetrics
	})
}

// readinessProbe asks often, so that a new replica takes part soon, and forgives twice,
// so that a busy moment takes none out. There is no liveness probe: a server that does
// not answer is taken out of the Service by this one, and to kill one under load would
// only move the load to the others.
func readinessProbe(port int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path:   contract.PathReadiness,
			Port:   intstr.FromInt32(port),
			Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds:    2,
		TimeoutSeconds:   2,
		FailureThreshold: 3,
	}
}

// environment is what the user sets, then what the operator sets, which wins. A name
// occurs once, since the API server refuses to apply a list that has it twice; of two
// values of the user the last counts, as it would in the container.
func (in PolicyServerInput) environment() []corev1.EnvVar {
	system := in.systemEnvironment()
	taken := map[string]bool{}
	for _, variable := range system {
		taken[variable.Name] = true
	}
	var environment []corev1.EnvVar
	for _, variable := range slices.Backward(in.Server.Spec.Env) {
		if !taken[variable.Name] {
			taken[variable.Name] = true
			environment = append(environment, *variable.DeepCopy())
		}
	}
	slices.Reverse(environment)
	for _, variable := range in.defaultEnvironment() {
		if !taken[variable.Name] {
			environment = append(environment, variable)
		}
	}
	return append(environment, system...)
}

// defaultEnvironment is what a user may set otherwise.
func (in PolicyServerInput) defaultEnvironment() []corev1.EnvVar {
	if in.rolls() {
		return nil // it has defaults of its own
	}
	return []corev1.EnvVar{
		{Name: contract.EnvLogLevel, Value: "info"},
		{Name: contract.EnvEnableMetrics, Value: strconv.FormatBool(!in.Installation.WithoutMetrics)},
	}
}

func (in PolicyServerInput) systemEnvironment() []corev1.EnvVar {
	ports := in.ports()
	variables := []corev1.EnvVar{
		{Name: contract.EnvCertFile, Value: contract.FileTLSCertificate},
		{Name: contract.EnvKeyFile, Value: contract.FileTLSKey},
		{Name: contract.EnvPort, Value: strconv.Itoa(int(ports.webhook))},
		{Name: contract.EnvReadinessPort, Value: strconv.Itoa(int(ports.readiness))},
		{Name: contract.EnvDownloadDir, Value: contract.DirScratch},
		{Name: contract.EnvSigstoreCacheDir, Value: contract.DirSigstoreCache},
	}
	if !in.rolls() {
		variables = append(variables, in.liveEnvironment()...)
	}
	for _, mounted := range in.optionalFiles() {
		if mounted.variable == "" {
			continue
		}
		variables = append(variables, corev1.EnvVar{Name: mounted.variable, Value: mounted.value})
	}
	return variables
}

// liveEnvironment is what a server needs to watch its configuration, to report, and to tell
// the operator from others.
func (in PolicyServerInput) liveEnvironment() []corev1.EnvVar {
	variables := []corev1.EnvVar{
		{Name: contract.EnvOperatorCAFile, Value: contract.DirOperatorCA + "/" + KeyCA + "," + contract.DirOperatorCA + "/" + KeyOldCA},
		{Name: contract.EnvMetricsPort, Value: strconv.Itoa(int(in.ports().metrics))},
		{Name: contract.EnvConfigMap, Value: contract.ConfigMapName(in.Server.Name)},
		{Name: contract.EnvReportConfigMap, Value: contract.ReportConfigMapName(in.Server.Name)},
		fromField(contract.EnvNamespace, "metadata.namespace"),
		fromField(contract.EnvReplica, "metadata.name"),
	}
	if mode := in.clientMode(); mode != "" {
		variables = append(variables, corev1.EnvVar{Name: contract.EnvClientCAMode, Value: mode})
	}
	return variables
}

func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

// optionalFile is a Secret or ConfigMap that the spec asks for, and how the server finds it:
// by a variable, which may be that of another file.
type optionalFile struct {
	volume, mountPath string
	source            corev1.VolumeSource
	variable, value   string
}

func (in PolicyServerInput) optionalFiles() []optionalFile {
	spec := in.Server.Spec
	files := append(in.rolloutFiles(), in.clientFiles()...)
	if spec.VerificationConfig != "" {
		files = append(files, optionalFile{
			volume: volumeVerification, mountPath: contract.DirVerification,
			source:   fromConfigMap(spec.VerificationConfig, KeyVerificationConfig, "verification.yml"),
			variable: contract.EnvVerificationPath, value: contract.FileVerification,
		})
	}
	if spec.SigstoreTrustConfig != "" {
		files = append(files, optionalFile{
			volume: volumeSigstoreTrust, mountPath: contract.DirSigstoreTrust,
			source:   fromConfigMap(spec.SigstoreTrustConfig, KeySigstoreTrustConfig, "sigstore-trust-config.json"),
			variable: contract.EnvSigstoreTrust, value: contract.FileSigstoreTrust,
		})
	}
	if spec.ImagePullSecret != "" {
		source := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: spec.ImagePullSecret,
			Items:      []corev1.KeyToPath{{Key: corev1.DockerConfigJsonKey, Path: "config.json"}},
		}}
		files = append(files, optionalFile{
			volume: volumePullSecret, mountPath: contract.DirDockerConfig, source: source,
			variable: contract.EnvDockerConfigDir, value: contract.DirDockerConfig,
		})
	}
	return files
}

func fromConfigMap(name, key, path string) corev1.VolumeSource {
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name},
		Items:                []corev1.KeyToPath{{Key: key, Path: path}},
	}}
}

func (in PolicyServerInput) volumes() []corev1.Volume {
	volumes := []corev1.Volume{
		{Name: volumeScratch, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: volumeCertificates, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: ServingSecretName(in.Server.Name)},
		}},
	}
	if !in.rolls() {
		volumes = append(volumes, corev1.Volume{Name: volumeOperatorCA, VolumeSource: operatorCA()})
	}
	for _, file := range in.optionalFiles() {
		volumes = append(volumes, corev1.Volume{Name: file.volume, VolumeSource: file.source})
	}
	return volumes
}

// operatorCA is whom a replica believes that it is called by the operator. It is optional: a
// replica must not wait for it. Its keys are named, because a Secret that upstream made may
// hold a private key besides.
func operatorCA() corev1.VolumeSource {
	return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: SecretCA,
		Items:      []corev1.KeyToPath{{Key: KeyCA, Path: KeyCA}, {Key: KeyOldCA, Path: KeyOldCA}},
		Optional:   new(true),
	}}
}

func (in PolicyServerInput) mounts() []corev1.VolumeMount {
	mounts := []corev1.VolumeMount{
		{Name: volumeScratch, MountPath: contract.DirScratch},
		{Name: volumeCertificates, MountPath: contract.DirTLS, ReadOnly: true},
	}
	if !in.rolls() {
		mounts = append(mounts, corev1.VolumeMount{Name: volumeOperatorCA, MountPath: contract.DirOperatorCA, ReadOnly: true})
	}
	for _, file := range in.optionalFiles() {
		mounts = append(mounts, corev1.VolumeMount{Name: file.volume, MountPath: file.mountPath, ReadOnly: true})
	}
	return mounts
}

// containerSecurityContext satisfies the Pod security standard "restricted".
func containerSecurityContext(security policiesv1.PolicyServerSecurity) *corev1.SecurityContext {
	if security.Container != nil {
		return security.Container.DeepCopy()
	}
	return &corev1.SecurityContext{
		ReadOnlyRootFilesystem:   new(true),
		RunAsNonRoot:             new(true),
		Privileged:               new(false),
		AllowPrivilegeEscalation: new(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}
