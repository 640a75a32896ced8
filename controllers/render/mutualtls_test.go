package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func TestClientCertificates(t *testing.T) {
	objects := make([]render.Object, 0, 3*len(render.Clients()))
	for _, client := range render.Clients() {
		in := render.PresentedClientInput{
			Config: config(), Installation: installation(), Client: client,
			Certificate: []byte("chain"), Key: []byte("key"), PresentedAt: "2026-01-02T03:04:05Z",
		}
		objects = append(objects, requested(render.ClientCertificate(config(), installation(), client)), render.IssuedClient(in), render.PresentedClient(in))
	}
	golden(t, "certificate-client", objects...)
}

// What servers of upstream's contract are given is upstream's, name by name; they can only
// demand certificates.
func TestPolicyServersAskForCertificatesAsTheInstallationSays(t *testing.T) {
	for name, tc := range map[string]struct {
		image, mode string
		golden      string
	}{
		"ours, disabled":       {mode: "Disabled"},
		"ours, observe":        {mode: "Observe", golden: "policyserver-mutualtls-observe"},
		"ours, require":        {mode: "Require", golden: "policyserver-mutualtls-require"},
		"upstream's, disabled": {image: "ghcr.io/kubewarden/policy-server:v1.37.2", mode: "Disabled"},
		"upstream's, observe":  {image: "ghcr.io/kubewarden/policy-server:v1.37.2", mode: "Observe"},
		"upstream's, required": {image: "ghcr.io/kubewarden/policy-server:v1.37.2", mode: "Require", golden: "policyserver-rollout-mutualtls"},
	} {
		t.Run(name, func(t *testing.T) {
			in := serverInput()
			in.Server.Spec.Image, in.ServingCertificate = tc.image, "5e41"
			off, _ := deploymentOf(t, in)
			in.Installation.MutualTLS = operatorv1alpha1.MutualTLS{Mode: operatorv1alpha1.MutualTLSMode(tc.mode), ClientCAConfigMap: "api-server-ca"}
			deployment, _ := deploymentOf(t, in)
			if tc.golden != "" {
				golden(t, tc.golden, deployment)
				return
			}
			if diff := cmp.Diff(off, deployment); diff != "" {
				t.Errorf("it changes (-off +got):\n%s", diff)
			}
		})
	}
}
