package render

import (
	corev1 "k8s.io/api/core/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// KeyClientCA is the key of the ConfigMap that spec.mutualTLS.clientCAConfigMap of the
// Kubewarden names; upstream's (constants.go).
const KeyClientCA = "client-ca.crt"

// Volumes of authorities of clients; the names are upstream's
// (policyserver_controller_deployment.go).
const (
	volumeClientCA = "client-ca-cert"
	volumeOwnCA    = "kubewarden-ca-cert"
)

// clientModes are what policy servers call the modes.
var clientModes = map[operatorv1alpha1.MutualTLSMode]string{
	operatorv1alpha1.MutualTLSObserve: contract.ClientsObserved,
	operatorv1alpha1.MutualTLSRequire: contract.ClientsRequired,
}

// ClientMode is what policy servers call a mode; empty where nobody needs a certificate.
func ClientMode(mode operatorv1alpha1.MutualTLSMode) string { return clientModes[mode] }

// clientMode is that of a policy server. One of upstream's contract can only demand.
func (in PolicyServerInput) clientMode() string {
	mode := ClientMode(in.Installation.MutualTLS.Mode)
	if in.rolls() && mode != contract.ClientsRequired {
		return ""
	}
	return mode
}

// clientFiles are the authorities of the clients that a policy server asks for certificates. One
// of ours knows the operator and the audit scanner by other means (operatorCA); for one of
// upstream's contract the authorities of the installation are authorities of clients, too.
func (in PolicyServerInput) clientFiles() []optionalFile {
	if in.clientMode() == "" {
		return nil
	}
	clients := optionalFile{
		volume: volumeClientCA, mountPath: contract.DirClientCA,
		source:   fromConfigMap(in.Installation.MutualTLS.ClientCAConfigMap, KeyClientCA, KeyClientCA),
		variable: contract.EnvClientCAFile, value: contract.DirClientCA + "/" + KeyClientCA,
	}
	if !in.rolls() {
		return []optionalFile{clients}
	}
	clients.value = contract.DirCA + "/" + KeyCA + "," + clients.value
	return []optionalFile{clients, {
		volume: volumeOwnCA, mountPath: contract.DirCA,
		source: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: SecretCA, Items: []corev1.KeyToPath{{Key: KeyBundle, Path: KeyCA}},
		}},
	}}
}
