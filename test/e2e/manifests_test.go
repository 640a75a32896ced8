//go:build e2e

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Manifests as users of Kubewarden have them; the image is left out.
const (
	serverManifest = `
apiVersion: policies.kubewarden.io/v1
kind: PolicyServer
metadata:
  name: e2e-tenant
  finalizers: [kubewarden.io/finalizer]
spec:
  replicas: 1
  serviceAccountName: ""
  annotations: {example.com/owner: platform}
  env:
  - {name: KUBEWARDEN_LOG_LEVEL, value: info}
`
	policyManifest = `
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata:
  name: e2e-tenant-privileged
  annotations:
    io.kubewarden.policy.severity: medium
    io.kubewarden.policy.category: PSP
spec:
  policyServer: e2e-tenant
  mode: protect
  backgroundAudit: true
  mutating: false
  settings: {skip_init_containers: false}
  failurePolicy: Fail
  rules:
  - apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
    operations: [CREATE]
`
)

func TestManifestsOfKubewardenApplyUnchanged(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	server, policy := &policiesv1.PolicyServer{}, &policiesv1.ClusterAdmissionPolicy{}
	g.Expect(yaml.UnmarshalStrict([]byte(serverManifest), server)).To(gomega.Succeed())
	g.Expect(yaml.UnmarshalStrict([]byte(policyManifest), policy)).To(gomega.Succeed())
	authorities, err := sourceAuthorities()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	server.Spec.SourceAuthorities = authorities
	policy.Spec.Module = "registry://" + os.Getenv("KUBEWARDEN_REGISTRY") + "/policies/" + modulePodPrivileged
	policy.Spec.NamespaceSelector = newPolicy(t, ns, modulePodPrivileged, nil).Spec.NamespaceSelector

	create(t, server)
	create(t, policy)
	eventuallyReady(t, policy, time.Minute)
	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))
}
