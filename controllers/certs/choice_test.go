package certs_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

const (
	auto        = operatorv1alpha1.CertificateProviderAuto
	certManager = operatorv1alpha1.CertificateProviderCertManager
	builtIn     = operatorv1alpha1.CertificateProviderBuiltIn
)

func TestChoose(t *testing.T) {
	request := func(age time.Duration) certs.Request {
		return certs.Request{Name: "cert-manager to issue it", Since: noon.Add(-age), Message: "no such issuer"}
	}
	missing := certs.Request{Obstacle: "install cert-manager", Reason: "CertManagerNotFound"}
	changing := func(message string) certs.Remark {
		return certs.Remark{Reason: "ChangingProvider", Message: "spec.certificates.provider is cert-manager; " +
			"until it has issued an authority the built-in provider goes on: " + message}
	}
	tests := map[string]struct {
		state certs.ChoiceState
		want  certs.Choice
	}{
		"auto, without cert-manager": {
			state: certs.ChoiceState{Wanted: auto},
			want:  certs.Choice{Provider: builtIn, Because: certs.Remark{Reason: "Issued", Message: "cert-manager is not installed"}},
		},
		"nothing said is auto": {
			want: certs.Choice{Provider: builtIn, Because: certs.Remark{Reason: "Issued", Message: "cert-manager is not installed"}},
		},
		"auto, cert-manager was asked a moment ago": {
			state: certs.ChoiceState{Wanted: auto, Installed: true, Request: request(59 * time.Second)},
			want: certs.Choice{After: time.Second, Remark: certs.Remark{
				Reason: "WaitingForIssuer", Message: "waiting for cert-manager to issue it",
			}},
		},
		"auto, cert-manager has issued": {
			state: certs.ChoiceState{Wanted: auto, Installed: true, Request: request(time.Hour), Issued: true},
			want:  certs.Choice{Provider: certManager},
		},
		"auto, cert-manager was asked a minute ago": {
			state: certs.ChoiceState{Wanted: auto, Installed: true, Request: request(time.Minute)},
			want: certs.Choice{Provider: builtIn, Because: certs.Remark{
				Reason: "CertManagerNotIssuing", Message: "cert-manager is installed but issued nothing within 1m0s: no such issuer",
			}},
		},
		"auto, the choice was made and could not be recorded; cert-manager is too late": {
			state: certs.ChoiceState{Wanted: auto, Installed: true, Request: request(time.Hour), Issued: true, Made: true},
			want:  certs.Choice{Provider: builtIn},
		},
		"auto, built-in is recorded and cert-manager came later": {
			state: certs.ChoiceState{Wanted: auto, Recorded: builtIn, Made: true, Installed: true},
			want:  certs.Choice{Provider: builtIn},
		},
		"auto, built-in is recorded and its authority is gone": {
			state: certs.ChoiceState{Wanted: auto, Recorded: builtIn, Installed: true},
			want:  certs.Choice{Provider: builtIn},
		},
		"auto, cert-manager is recorded and is gone": {
			state: certs.ChoiceState{Wanted: auto, Recorded: certManager, Request: missing},
			want:  certs.Choice{Provider: certManager},
		},
		"built-in, though cert-manager has issued": {
			state: certs.ChoiceState{Wanted: builtIn, Recorded: certManager, Installed: true, Issued: true},
			want:  certs.Choice{Provider: builtIn},
		},
		"cert-manager, which never answers": {
			state: certs.ChoiceState{Wanted: certManager, Installed: true, Request: request(time.Hour)},
			want:  certs.Choice{Provider: certManager},
		},
		"cert-manager, which is not installed": {
			state: certs.ChoiceState{Wanted: certManager, Request: missing},
			want:  certs.Choice{Provider: certManager},
		},
		"cert-manager in the place of built-in, and it has not issued yet": {
			state: certs.ChoiceState{Wanted: certManager, Recorded: builtIn, Made: true, Installed: true, Request: request(20 * time.Second)},
			want:  certs.Choice{Provider: builtIn, After: 40 * time.Second, Remark: changing("waiting for cert-manager to issue it")},
		},
		"cert-manager in the place of built-in, and it is not installed": {
			state: certs.ChoiceState{Wanted: certManager, Recorded: builtIn, Made: true, Request: missing},
			want:  certs.Choice{Provider: builtIn, Remark: changing("install cert-manager")},
		},
		"cert-manager in the place of built-in, and it has issued": {
			state: certs.ChoiceState{Wanted: certManager, Recorded: builtIn, Made: true, Installed: true, Issued: true},
			want:  certs.Choice{Provider: certManager},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.state.Now = noon
			if diff := cmp.Diff(tc.want, certs.Choose(tc.state)); diff != "" {
				t.Errorf("choice (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChooseAnIssuer(t *testing.T) {
	vault := operatorv1alpha1.IssuerReference{Name: "vault", Kind: "ClusterIssuer", Group: "cert-manager.io"}
	company := operatorv1alpha1.IssuerReference{Name: "company", Kind: "Issuer", Group: "cert-manager.io"}
	request := certs.Request{Name: "cert-manager to issue it", Since: noon.Add(-20 * time.Second)}
	missing := certs.Request{Obstacle: "install cert-manager", Reason: "CertManagerNotFound"}
	changing := func(message string) certs.Remark {
		return certs.Remark{Reason: "ChangingProvider", Message: "spec.certificates asks for " + message}
	}
	tests := map[string]struct {
		state certs.ChoiceState
		want  certs.Choice
	}{
		"the first, and it has not issued": {
			state: certs.ChoiceState{Wanted: auto, WantedIssuer: vault, Installed: true, Request: request},
			want:  certs.Choice{Provider: certManager, Issuer: vault},
		},
		"the first, without cert-manager: built-in is not what was asked for": {
			state: certs.ChoiceState{Wanted: auto, WantedIssuer: vault, Request: missing},
			want:  certs.Choice{Provider: certManager, Issuer: vault},
		},
		"the one that signs": {
			state: certs.ChoiceState{Wanted: auto, WantedIssuer: vault, Recorded: certManager, RecordedIssuer: vault, Installed: true},
			want:  certs.Choice{Provider: certManager, Issuer: vault},
		},
		"in the place of built-in, and it has not issued": {
			state: certs.ChoiceState{Wanted: auto, WantedIssuer: vault, Recorded: builtIn, Made: true, Installed: true, Request: request},
			want: certs.Choice{Provider: builtIn, After: 40 * time.Second, Remark: changing(
				"ClusterIssuer vault; until that has issued, the built-in provider goes on: waiting for cert-manager to issue it")},
		},
		"in the place of built-in, which could not be recorded": {
			state: certs.ChoiceState{Wanted: auto, WantedIssuer: vault, Made: true, Installed: true, Request: request},
			want: certs.Choice{Provider: builtIn, After: 40 * time.Second, Remark: changing(
				"ClusterIssuer vault; until that has issued, the built-in provider goes on: waiting for cert-manager to issue it")},
		},
		"in the place of another one, and it has issued": {
			state: certs.ChoiceState{Wanted: auto, WantedIssuer: vault, Recorded: certManager, RecordedIssuer: company, Installed: true, Issued: true},
			want:  certs.Choice{Provider: certManager, Issuer: vault},
		},
		"in the place of another one, and it cannot issue": {
			state: certs.ChoiceState{
				Wanted: certManager, WantedIssuer: vault, Recorded: certManager, RecordedIssuer: company, Installed: true,
				Request: certs.Request{Obstacle: "it tells no authority", Reason: "IssuerWithoutAuthority"},
			},
			want: certs.Choice{Provider: certManager, Issuer: company, Blocked: true, Remark: certs.Remark{
				Reason: "IssuerWithoutAuthority", Message: "spec.certificates asks for ClusterIssuer vault; until that has issued, Issuer company goes on: it tells no authority",
			}},
		},
		"cert-manager's own authority in the place of an issuer, which has not been issued": {
			state: certs.ChoiceState{Wanted: auto, Recorded: certManager, RecordedIssuer: vault, Installed: true, Request: request},
			want: certs.Choice{Provider: certManager, Issuer: vault, After: 40 * time.Second, Remark: changing(
				"cert-manager's authority; until that has issued, ClusterIssuer vault goes on: waiting for cert-manager to issue it")},
		},
		"cert-manager's own authority in the place of an issuer": {
			state: certs.ChoiceState{Wanted: auto, Recorded: certManager, RecordedIssuer: vault, Installed: true, Issued: true},
			want:  certs.Choice{Provider: certManager},
		},
		"built-in in the place of an issuer": {
			state: certs.ChoiceState{Wanted: builtIn, Recorded: certManager, RecordedIssuer: vault, Installed: true},
			want:  certs.Choice{Provider: builtIn},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.state.Now = noon
			if diff := cmp.Diff(tc.want, certs.Choose(tc.state)); diff != "" {
				t.Errorf("choice (-want +got):\n%s", diff)
			}
		})
	}
}
