package render_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func mustRender(t *testing.T, in render.PolicyServerInput) []render.Object {
	t.Helper()
	children, err := render.PolicyServer(in)
	if err != nil {
		t.Fatalf("render the PolicyServer: %v", err)
	}
	return children
}

// entries are the policies on a server on which every field is set.
func entries(t *testing.T, policies ...policiesv1.Policy) contract.Policies {
	t.Helper()
	entries := contract.Policies{}
	for _, policy := range policies {
		id, entry, err := render.Entry(policy, server(everything))
		if err != nil {
			t.Fatalf("render the entry of %s: %v", policy.GetName(), err)
		}
		entries[id] = entry
	}
	return entries
}

func TestPolicyServer(t *testing.T) {
	t.Run("nothing set", func(t *testing.T) {
		golden(t, "policyserver-default", mustRender(t, serverInput())...)
	})
	t.Run("a policy of each kind", func(t *testing.T) {
		in := serverInput()
		in.Policies = entries(t, policy(everyField), namespacedPolicy(), group(), namespacedGroup())
		configMap, err := render.ConfigMap(in)
		if err != nil {
			t.Fatalf("render the ConfigMap: %v", err)
		}
		golden(t, "configmap-kinds", configMap)
	})
	t.Run("everything set, two policies", func(t *testing.T) {
		in := serverInput(everything)
		in.Config.ImagePullSecrets = []string{"operator-pull"}
		second := policy(everyField)
		second.Name = "labels"
		in.Policies = entries(t, policy(), second)
		golden(t, "policyserver-full", mustRender(t, in)...)
	})
}

func TestPolicyServerLeavesItsInputAlone(t *testing.T) {
	in := serverInput(everything)
	in.Policies = entries(t, policy(everyField))
	before := in.Server.DeepCopy()
	children := mustRender(t, in)
	for _, child := range children {
		// What the caller does with a child must not reach the input either.
		child.SetLabels(nil)
		if deployment, ok := child.(*appsv1.Deployment); ok {
			template := &deployment.Spec.Template
			template.Labels["changed"] = "yes"
			template.Annotations["changed"] = "yes"
			template.Spec.Tolerations[0].Key = "changed"
			template.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].TopologyKey = "changed"
			template.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil
			*template.Spec.SecurityContext.RunAsUser = 0
			delete(template.Spec.Containers[0].Resources.Limits, corev1.ResourceMemory)
		}
	}
	if diff := cmp.Diff(before, in.Server); diff != "" {
		t.Errorf("the input changed (-before +after):\n%s", diff)
	}
}

// The golden is what policy servers read, so their decoder has to accept it.
func TestConfigMapIsReadableByPolicyServers(t *testing.T) {
	in := serverInput(everything)
	in.Policies = entries(t, policy(), policy(everyField, func(policy *policiesv1.ClusterAdmissionPolicy) { policy.Name = "labels" }))
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatalf("render the ConfigMap: %v", err)
	}
	policies, refused, err := contract.DecodePolicies([]byte(configMap.Data[contract.KeyPolicies]))
	if err != nil || len(refused) > 0 {
		t.Fatalf("decode policies.yml: %v, refused %v", err, refused)
	}
	for id, entry := range in.Policies {
		want, wantErr := contract.EntryHash(entry)
		got, gotErr := contract.EntryHash(policies[id])
		if wantErr != nil || gotErr != nil || want != got {
			t.Errorf("entry %s hashes to %s (%v) before and %s (%v) after the ConfigMap", id, want, wantErr, got, gotErr)
		}
	}
	sources, err := contract.DecodeSources([]byte(configMap.Data[contract.KeySources]))
	if err != nil {
		t.Fatalf("decode sources.yml: %v", err)
	}
	if got := len(sources.SourceAuthorities["registry.example.com"]); got != 2 {
		t.Errorf("sources.yml has %d authorities for registry.example.com, want 2", got)
	}
}

func TestNoPolicyChangeRestartsAPod(t *testing.T) {
	without := serverInput()
	with := serverInput()
	with.Policies = entries(t, policy(everyField))
	if diff := cmp.Diff(render.Deployment(without), render.Deployment(with)); diff != "" {
		t.Errorf("the Deployment depends on policies (-without +with):\n%s", diff)
	}
}

func TestReportConfigMapHasNoData(t *testing.T) {
	report := render.ReportConfigMap(serverInput())
	if report.Data != nil || report.BinaryData != nil {
		t.Errorf("the report has data %v and binaryData %v: the operator would own the replicas' keys", report.Data, report.BinaryData)
	}
}

func TestEveryChildIsOfAListedKind(t *testing.T) {
	for name, in := range map[string]render.PolicyServerInput{"default": serverInput(), "everything": serverInput(everything)} {
		for _, child := range mustRender(t, in) {
			if gvk := child.GetObjectKind().GroupVersionKind(); !slices.Contains(render.PolicyServerKinds(), gvk) {
				t.Errorf("%s: %s is rendered, but would never be pruned", name, gvk)
			}
			if !render.IsOurs(child.GetLabels()) {
				t.Errorf("%s: %s %s does not bear our label", name, child.GetObjectKind().GroupVersionKind().Kind, child.GetName())
			}
			if child.GetLabels()[render.LabelPolicyServer] != "default" {
				t.Errorf("%s: %s does not lead back to its PolicyServer", name, child.GetName())
			}
		}
	}
}

func TestDeploymentEnvironment(t *testing.T) {
	tests := map[string]struct {
		users []corev1.EnvVar
		want  map[string]string // the variables that matter to the case
	}{
		"the operator's values win over the user's": {
			users: []corev1.EnvVar{{Name: contract.EnvPort, Value: "1"}, {Name: contract.EnvConfigMap, Value: "other"}},
			want:  map[string]string{contract.EnvPort: "8443", contract.EnvConfigMap: "policy-server-default"},
		},
		"log level and metrics are the user's to set": {
			users: []corev1.EnvVar{{Name: contract.EnvLogLevel, Value: "trace"}, {Name: contract.EnvEnableMetrics, Value: "false"}},
			want:  map[string]string{contract.EnvLogLevel: "trace", contract.EnvEnableMetrics: "false"},
		},
		"log level and metrics have defaults": {
			want: map[string]string{contract.EnvLogLevel: "info", contract.EnvEnableMetrics: "true"},
		},
		"of a name that is set twice the last value counts": {
			users: []corev1.EnvVar{{Name: "PROXY", Value: "first"}, {Name: "OTHER", Value: "kept"}, {Name: "PROXY", Value: "last"}},
			want:  map[string]string{"PROXY": "last", "OTHER": "kept"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			deployment := render.Deployment(serverInput(func(spec *policiesv1.PolicyServerSpec) { spec.Env = tc.users }))
			got := map[string]string{}
			for _, variable := range deployment.Spec.Template.Spec.Containers[0].Env {
				if _, twice := got[variable.Name]; twice {
					t.Errorf("%s stands twice: the API server refuses to apply that", variable.Name)
				}
				got[variable.Name] = variable.Value
			}
			maps.DeleteFunc(got, func(name, _ string) bool { _, matters := tc.want[name]; return !matters })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetricsCanBeDoneWithout(t *testing.T) {
	metrics := func(value string) []corev1.EnvVar {
		return []corev1.EnvVar{{Name: contract.EnvEnableMetrics, Value: value}}
	}
	tests := map[string]struct {
		without bool
		env     []corev1.EnvVar
		want    string
		ports   int
	}{
		"as a rule there are metrics":                  {want: "true", ports: 2},
		"the installation has none":                    {without: true, want: "false", ports: 1},
		"the installation has none, this server does":  {without: true, env: metrics("true"), want: "true", ports: 2},
		"this server has none, and its Service a port": {env: metrics("false"), want: "false", ports: 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := serverInput(func(spec *policiesv1.PolicyServerSpec) { spec.Env = tc.env })
			in.Installation.WithoutMetrics = tc.without
			container := render.Deployment(in).Spec.Template.Spec.Containers[0]
			for _, variable := range container.Env {
				if variable.Name == contract.EnvEnableMetrics && variable.Value != tc.want {
					t.Errorf("%s is %q, want %q", variable.Name, variable.Value, tc.want)
				}
			}
			if got := len(render.Service(in).Spec.Ports); got != tc.ports {
				t.Errorf("the Service has %d ports, want %d", got, tc.ports)
			}
			// The readiness probe has a port of its own, which no Service leads to.
			if got := len(container.Ports) - 1; got != tc.ports {
				t.Errorf("the container has %d ports for others, want %d", got, tc.ports)
			}
		})
	}
}

func TestUserVariablesComeFirst(t *testing.T) {
	deployment := render.Deployment(serverInput(func(spec *policiesv1.PolicyServerSpec) {
		spec.Env = []corev1.EnvVar{{Name: "B", Value: "1"}, {Name: "A", Value: "$(B)"}}
	}))
	environment := deployment.Spec.Template.Spec.Containers[0].Env
	if environment[0].Name != "B" || environment[1].Name != "A" {
		t.Errorf("the environment begins with %s, %s, want B, A: references look back only", environment[0].Name, environment[1].Name)
	}
}

func TestPodDisruptionBudget(t *testing.T) {
	one, half := intstr.FromInt32(1), intstr.FromString("50%")
	tests := map[string]struct {
		replicas                     *int32
		minAvailable, maxUnavailable *intstr.IntOrString
		wantMin, wantMax             *intstr.IntOrString // both nil: no budget
	}{
		"two replicas by default, one may go":         {wantMax: &one},
		"one replica has none, or no node would ever": {replicas: new(int32(1))},
		"no replicas have none":                       {replicas: new(int32(0))},
		"one replica with a wish of the user":         {replicas: new(int32(1)), minAvailable: &one, wantMin: &one},
		"the user's maximum":                          {maxUnavailable: &half, wantMax: &half},
		"minAvailable wins where both got through":    {minAvailable: &half, maxUnavailable: &one, wantMin: &half},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := render.PodDisruptionBudget(serverInput(func(spec *policiesv1.PolicyServerSpec) {
				spec.Replicas, spec.MinAvailable, spec.MaxUnavailable = tc.replicas, tc.minAvailable, tc.maxUnavailable
			}))
			if tc.wantMin == nil && tc.wantMax == nil {
				if got != nil {
					t.Fatalf("got a budget %+v, want none", got.Spec)
				}
				return
			}
			if got == nil {
				t.Fatal("got no budget")
			}
			if diff := cmp.Diff([]*intstr.IntOrString{tc.wantMin, tc.wantMax},
				[]*intstr.IntOrString{got.Spec.MinAvailable, got.Spec.MaxUnavailable}); diff != "" {
				t.Errorf("minAvailable, maxUnavailable (-want +got):\n%s", diff)
			}
			if *got.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
				t.Errorf("unhealthyPodEvictionPolicy is %s, want AlwaysAllow", *got.Spec.UnhealthyPodEvictionPolicy)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	tests := map[string]struct {
		webhook, readiness, metrics *int32
		wantTargets                 []int32
		wantPorts                   []int32
	}{
		"defaults":                              {wantTargets: []int32{8443, 8080}, wantPorts: []int32{443, 8080}},
		"all chosen":                            {webhook: new(int32(9443)), readiness: new(int32(9081)), metrics: new(int32(9090)), wantTargets: []int32{9443, 8080}, wantPorts: []int32{443, 9090}},
		"webhook on the port of metrics":        {webhook: new(int32(8080)), wantTargets: []int32{8080, 8082}, wantPorts: []int32{443, 8080}},
		"webhook and readiness in metrics' way": {webhook: new(int32(8081)), readiness: new(int32(8080)), wantTargets: []int32{8081, 8082}, wantPorts: []int32{443, 8080}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			service := render.Service(serverInput(func(spec *policiesv1.PolicyServerSpec) {
				spec.WebhookPort, spec.ReadinessProbePort, spec.MetricsPort = tc.webhook, tc.readiness, tc.metrics
			}))
			var targets, ports []int32
			for _, port := range service.Spec.Ports {
				targets, ports = append(targets, port.TargetPort.IntVal), append(ports, port.Port)
			}
			if diff := cmp.Diff(tc.wantTargets, targets); diff != "" {
				t.Errorf("target ports (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantPorts, ports); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
			if service.Spec.Ports[0].Name != "policy-server" {
				t.Errorf("the first port is named %q, want policy-server", service.Spec.Ports[0].Name)
			}
		})
	}
}

func TestRollingUpdateFitsTheCluster(t *testing.T) {
	apart := func(spec *policiesv1.PolicyServerSpec) { everything(spec); spec.Replicas = new(int32(2)) }
	alone := func(spec *policiesv1.PolicyServerSpec) { everything(spec); spec.Replicas = new(int32(1)) }
	tests := map[string]struct {
		mutate          func(*policiesv1.PolicyServerSpec)
		wantUnavailable int32
	}{
		"replicas may share a node: the new one first":              {mutate: func(*policiesv1.PolicyServerSpec) {}, wantUnavailable: 0},
		"no two on a node: one may go first":                        {mutate: apart, wantUnavailable: 1},
		"a single one never goes first, whatever its affinity":      {mutate: alone, wantUnavailable: 0},
		"a mere preference for other nodes leaves room on this one": {mutate: preferApart, wantUnavailable: 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			update := render.Deployment(serverInput(tc.mutate)).Spec.Strategy.RollingUpdate
			if got := update.MaxUnavailable.IntVal; got != tc.wantUnavailable {
				t.Errorf("maxUnavailable is %d, want %d", got, tc.wantUnavailable)
			}
			if got := update.MaxSurge.IntVal; got != 1 {
				t.Errorf("maxSurge is %d, want 1", got)
			}
		})
	}
}

func preferApart(spec *policiesv1.PolicyServerSpec) {
	spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1}},
	}
}

func TestServerContract(t *testing.T) {
	const operator = "ghcr.io/kubewarden/kubewarden-operator:0.1.0"
	tests := map[string]struct {
		image      string
		annotation string
		want       render.Contract
	}{
		"no image":                              {want: render.ContractLive},
		"the operator's own":                    {image: operator, want: render.ContractLive},
		"a mirror with a port, another tag":     {image: "mirror.local:5000/a/b/kubewarden-operator:0.2.0", want: render.ContractLive},
		"a mirror by digest":                    {image: "mirror.local/kubewarden-operator@sha256:0123", want: render.ContractLive},
		"a mirror by tag and digest":            {image: "mirror.local/kubewarden-operator:1@sha256:0123", want: render.ContractLive},
		"upstream's policy server":              {image: "ghcr.io/kubewarden/adm-controller/policy-server:v1.37.2", want: render.ContractRollout},
		"a name that merely ends the same":      {image: "example.com/not-kubewarden-operator:1", want: render.ContractRollout},
		"another name with the annotation":      {image: "example.com/mine:1", annotation: "live", want: render.ContractLive},
		"another name with a strange value":     {image: "example.com/mine:1", annotation: "yes", want: render.ContractRollout},
		"the operator's name as a folder alone": {image: "example.com/kubewarden-operator/mine", want: render.ContractRollout},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := server(func(spec *policiesv1.PolicyServerSpec) { spec.Image = tc.image })
			if tc.annotation != "" {
				server.Annotations = map[string]string{policiesv1.AnnotationServerContract: tc.annotation}
			}
			if got := render.ServerContract(server, operator); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
