package render_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const upstreamImage = "ghcr.io/kubewarden/adm-controller/policy-server:v1.37.2"

// upstreamInput is that of a server that follows upstream's contract.
func upstreamInput(mutators ...func(*policiesv1.PolicyServerSpec)) render.PolicyServerInput {
	in := serverInput(append(mutators, func(spec *policiesv1.PolicyServerSpec) { spec.Image = upstreamImage })...)
	in.ServingCertificate = strings.Repeat("ab", 32)
	return in
}

func TestPolicyServerOfUpstreamsContract(t *testing.T) {
	t.Run("nothing set", func(t *testing.T) {
		golden(t, "policyserver-rollout-default", mustRender(t, upstreamInput())...)
	})
	t.Run("everything set, a policy and a group", func(t *testing.T) {
		in := upstreamInput(everything)
		in.Policies = entries(t, policy(), namespacedGroup())
		golden(t, "policyserver-rollout-full", mustRender(t, in)...)
	})
}

// deploymentOf is the Deployment among the children, and whether there is one.
func deploymentOf(t *testing.T, in render.PolicyServerInput) (*appsv1.Deployment, bool) {
	t.Helper()
	for _, child := range mustRender(t, in) {
		if deployment, ok := child.(*appsv1.Deployment); ok {
			return deployment, true
		}
	}
	return nil, false
}

func TestNoPodStartsBeforeThereIsACertificate(t *testing.T) {
	in := upstreamInput()
	in.ServingCertificate = ""
	if _, found := deploymentOf(t, in); found {
		t.Error("there is a Deployment: the certificate would replace its Pods at once")
	}
	if _, found := deploymentOf(t, serverInput()); !found {
		t.Error("a server that reloads its certificate has no Deployment")
	}
}

// Upstream's servers would refuse the whole file for what they do not know.
func TestUpstreamsServersAreToldOfNoInstanceMode(t *testing.T) {
	in := upstreamInput()
	in.Policies = entries(t, group())
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := configMap.Data[contract.KeyPolicies]; strings.Contains(got, "instanceMode") || !strings.Contains(got, "kw.capg.images") {
		t.Errorf("got %s, want a group without instanceMode", got)
	}
}

func TestWhatIsReadAtStartReplacesPods(t *testing.T) {
	before := upstreamInput()
	before.Policies = entries(t, policy())
	tests := map[string]struct {
		change func(in *render.PolicyServerInput)
		want   bool
	}{
		"nothing": {change: func(*render.PolicyServerInput) {}},
		"a policy more": {change: func(in *render.PolicyServerInput) {
			in.Policies = entries(t, policy(), namespacedPolicy())
		}, want: true},
		"another certificate": {change: func(in *render.PolicyServerInput) {
			in.ServingCertificate = strings.Repeat("cd", 32)
		}, want: true},
		"a tag is to be resolved again": {change: func(in *render.PolicyServerInput) {
			in.Policies = entries(t, policy(func(policy *policiesv1.ClusterAdmissionPolicy) {
				policy.Annotations = map[string]string{policiesv1.AnnotationRefresh: "now"}
			}))
		}, want: true},
		"a source": {change: func(in *render.PolicyServerInput) {
			in.Server.Spec.InsecureSources = []string{"registry.local:5000"}
		}, want: true},
		"more replicas": {change: func(in *render.PolicyServerInput) { in.Server.Spec.Replicas = new(int32(5)) }},
	}
	template := func(in render.PolicyServerInput) string {
		deployment, _ := deploymentOf(t, in)
		encoded, err := json.Marshal(deployment.Spec.Template)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := before
			in.Server = before.Server.DeepCopy()
			in.Former = formerOf(t, before)
			tc.change(&in)
			if got := template(in) != template(before); got != tc.want {
				t.Errorf("Pods are replaced: %t, want %t", got, tc.want)
			}
		})
	}
}

// formerOf is the roll-out of what was rendered.
func formerOf(t *testing.T, in render.PolicyServerInput) render.FormerRollout {
	t.Helper()
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatal(err)
	}
	deployment, _ := deploymentOf(t, in)
	return render.FormerRollout{Data: configMap.Data, Version: render.FormerVersion(deployment)}
}

// A Pod may start, or start again, while a change stands that is then taken back.
func TestAChangeThatIsTakenBackReplacesPodsToo(t *testing.T) {
	first := upstreamInput()
	first.Policies = entries(t, policy())
	second := upstreamInput()
	second.Policies, second.Former = entries(t, policy(), namespacedPolicy()), formerOf(t, first)
	third := upstreamInput()
	third.Policies, third.Former = first.Policies, formerOf(t, second)
	lost := upstreamInput()
	lost.Policies, lost.Former = first.Policies, formerOf(t, third)
	lost.Former.Data = nil // somebody deleted the ConfigMap

	versions := map[string]string{}
	for name, in := range map[string]render.PolicyServerInput{"first": first, "second": second, "third": third, "lost": lost} {
		version := formerOf(t, in).Version
		if other, taken := versions[version]; taken {
			t.Errorf("%s and %s have the same version %s", name, other, version)
		}
		versions[version] = name
	}
	again := third
	again.Former = formerOf(t, third)
	if got, want := formerOf(t, again).Version, formerOf(t, third).Version; got != want {
		t.Errorf("no change made version %s of %s", got, want)
	}
}

func TestUpstreamsReadersGetNoPins(t *testing.T) {
	in := upstreamInput()
	in.Policies = entries(t, policy(), group())
	for id, entry := range in.Policies {
		entry.ModuleDigest = strings.Repeat("0", 64)
		for name, member := range entry.Policies {
			member.ModuleDigest = strings.Repeat("0", 64)
			entry.Policies[name] = member
		}
		if entry.IsGroup() {
			entry.ModuleDigest = ""
		}
		in.Policies[id] = entry
	}
	in.LastGood = map[string]contract.LastGood{"kw.cap.no-privileged-pods": {}}
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatal(err)
	}
	if text := configMap.Data[contract.KeyPolicies]; strings.Contains(text, "moduleDigest") {
		t.Errorf("policies.yml pins modules: %s", text)
	}
	for _, key := range []string{contract.KeyLastGood, contract.KeyContract, contract.KeyReportLimit} {
		if _, found := configMap.Data[key]; found {
			t.Errorf("the ConfigMap has %s", key)
		}
	}
	if in.Policies["kw.capg.images"].Policies["signed"].ModuleDigest == "" {
		t.Error("the input was changed")
	}
}

func TestPodsSayWhatTheyWereStartedWith(t *testing.T) {
	in := upstreamInput()
	in.Policies = entries(t, policy())
	deployment, _ := deploymentOf(t, in)
	report, silent, err := render.StartedWith(deployment.Spec.Template.Annotations)
	if err != nil || !silent {
		t.Fatalf("got error %v, silent %t", err, silent)
	}
	const id = "kw.cap.no-privileged-pods"
	revision, err := contract.Revision(in.Policies[id], "")
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Policies[id].Revision; got != revision {
		t.Errorf("the Pod serves revision %q, want %q", got, revision)
	}
	if report.ServingCertificate != in.ServingCertificate {
		t.Errorf("the Pod presents %q, want %q", report.ServingCertificate, in.ServingCertificate)
	}
	if _, silent, _ := render.StartedWith(render.Deployment(serverInput()).Spec.Template.Annotations); silent {
		t.Error("a Pod that reports is taken for a silent one")
	}
	if _, silent, err := render.StartedWith(map[string]string{"operator.kubewarden.io/started-with": "{"}); err == nil || !silent {
		t.Errorf("what cannot be read: error %v, silent %t", err, silent)
	}
}

func TestWhatPodsWereStartedWithFitsIntoAnnotations(t *testing.T) {
	in := upstreamInput()
	in.Policies = contract.Policies{}
	for i := range 3000 {
		in.Policies[fmt.Sprintf("kw.cap.%s-%d", strings.Repeat("n", 60), i)] = contract.Entry{UID: fmt.Sprint(i), Module: "registry://a/b:1"}
	}
	deployment, _ := deploymentOf(t, in)
	size := 0
	for key, value := range deployment.Spec.Template.Annotations {
		size += len(key) + len(value)
	}
	if size > 200<<10 {
		t.Errorf("the annotations have %d bytes: the API server takes 256 KiB, and some are the user's", size)
	}
	report, _, err := render.StartedWith(deployment.Spec.Template.Annotations)
	if err != nil || !report.Truncated || len(report.Policies) < 1000 {
		t.Errorf("got %d policies (truncated %t, error %v), want some, and to be told that it is not all", len(report.Policies), report.Truncated, err)
	}
}

func TestServersOfUpstreamsContractNeedNoRights(t *testing.T) {
	unwanted := []string{"Role policy-server-default", "RoleBinding policy-server-default", "ConfigMap policy-server-default-replicas"}
	for _, child := range mustRender(t, upstreamInput()) {
		name := child.GetObjectKind().GroupVersionKind().Kind + " " + child.GetName()
		if slices.Contains(unwanted, name) {
			t.Errorf("%s is rendered for a server that does not use it", name)
		}
	}
}
