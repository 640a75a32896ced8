package assemble

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/blang/semver/v4"
	"github.com/operator-framework/api/pkg/lib/version"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// imageVariable is the variable of the operator that names its own image, where the
// Deployment sets it.
const imageVariable = "OPERATOR_IMAGE"

// serviceVersion makes the ClusterServiceVersion: how OLM installs this version, and what
// catalogs show of it.
func serviceVersion(p *parts, in Input) (*operatorsv1alpha1.ClusterServiceVersion, error) {
	number, err := semver.Parse(in.Release.Version)
	if err != nil {
		return nil, fmt.Errorf("version %q is not a semantic version such as 0.1.0: %w", in.Release.Version, err)
	}
	owned, err := ownedDefinitions(p.definitions)
	if err != nil {
		return nil, err
	}
	webhooks, err := webhookDescriptions(p)
	if err != nil {
		return nil, err
	}
	image, err := setImage(p, in.Release.Image)
	if err != nil {
		return nil, err
	}
	annotations, err := catalogAnnotations(p, in, image)
	if err != nil {
		return nil, err
	}
	description, err := descriptionOf(p.definitions)
	if err != nil {
		return nil, err
	}
	csv := &operatorsv1alpha1.ClusterServiceVersion{
		TypeMeta: metav1.TypeMeta{
			APIVersion: operatorsv1alpha1.ClusterServiceVersionAPIVersion,
			Kind:       operatorsv1alpha1.ClusterServiceVersionKind,
		},
		ObjectMeta: metav1.ObjectMeta{
			Name:        versionName(in.Release.Version),
			Annotations: annotations,
			Labels: map[string]string{
				"operatorframework.io/arch.amd64": "supported",
				"operatorframework.io/arch.arm64": "supported",
				"operatorframework.io/os.linux":   "supported",
			},
		},
		Spec: operatorsv1alpha1.ClusterServiceVersionSpec{
			Version:                   version.OperatorVersion{Version: number},
			MinKubeVersion:            minKubeVersion,
			Maturity:                  "alpha",
			DisplayName:               displayName,
			Description:               description,
			Keywords:                  keywords,
			Provider:                  provider,
			Maintainers:               maintainers,
			Links:                     links,
			Icon:                      []operatorsv1alpha1.Icon{{Data: base64.StdEncoding.EncodeToString(icon), MediaType: "image/svg+xml"}},
			InstallModes:              installModes(),
			InstallStrategy:           installStrategy(p),
			CustomResourceDefinitions: operatorsv1alpha1.CustomResourceDefinitions{Owned: owned},
			WebhookDefinitions:        webhooks,
			// Policy servers and audits run the operator's own image.
			RelatedImages: []operatorsv1alpha1.RelatedImage{{Name: packageName, Image: image}},
		},
	}
	if in.Release.Replaces != "" {
		csv.Spec.Replaces = versionName(in.Release.Replaces)
	}
	return csv, nil
}

// descriptionOf fills the operator's kinds into its description.
func descriptionOf(definitions []definition) (string, error) {
	kinds := make([]string, 0, len(definitions))
	for _, crd := range definitions {
		kinds = append(kinds, crd.Spec.Names.Plural)
	}
	slices.Sort(kinds)
	parsed, err := template.New("description").Parse(description)
	if err != nil {
		return "", fmt.Errorf("parse the description: %w", err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, struct{ Kinds string }{strings.Join(kinds, ",")}); err != nil {
		return "", fmt.Errorf("fill in the description: %w", err)
	}
	return out.String(), nil
}

// versionName is the name that one version of the operator has in a catalog.
func versionName(number string) string { return packageName + ".v" + number }

// installModes says that the operator watches all namespaces, and only that: a policy that
// judges the whole cluster has no other place.
func installModes() []operatorsv1alpha1.InstallMode {
	return []operatorsv1alpha1.InstallMode{
		{Type: operatorsv1alpha1.InstallModeTypeOwnNamespace, Supported: false},
		{Type: operatorsv1alpha1.InstallModeTypeSingleNamespace, Supported: false},
		{Type: operatorsv1alpha1.InstallModeTypeMultiNamespace, Supported: false},
		{Type: operatorsv1alpha1.InstallModeTypeAllNamespaces, Supported: true},
	}
}

// installStrategy is the Deployment, and what its account may do in all namespaces.
func installStrategy(p *parts) operatorsv1alpha1.NamedInstallStrategy {
	return operatorsv1alpha1.NamedInstallStrategy{
		StrategyName: operatorsv1alpha1.InstallStrategyNameDeployment,
		StrategySpec: operatorsv1alpha1.StrategyDetailsDeployment{
			ClusterPermissions: []operatorsv1alpha1.StrategyDeploymentPermissions{{
				ServiceAccountName: p.deployment.Spec.Template.Spec.ServiceAccountName,
				Rules:              p.everywhere,
			}},
			DeploymentSpecs: []operatorsv1alpha1.StrategyDeploymentSpec{{
				Name:  p.deployment.Name,
				Label: p.deployment.Labels,
				Spec:  p.deployment.Spec,
			}},
		},
	}
}

// setImage puts the image of the release, if it has one of its own, into the Deployment,
// and returns the image that is in it then.
func setImage(p *parts, image string) (string, error) {
	containers := p.deployment.Spec.Template.Spec.Containers
	if len(containers) != 1 {
		return "", fmt.Errorf("deployment %s has %d containers; the bundle is made for one", p.deployment.Name, len(containers))
	}
	container := &containers[0]
	rendered := container.Image
	if image == "" {
		image = rendered
	}
	container.Image = image
	for i := range container.Env {
		if container.Env[i].Name == imageVariable {
			container.Env[i].Value = image
		}
	}
	return image, nil
}

// catalogAnnotations are what consoles and catalogs read off the ClusterServiceVersion.
func catalogAnnotations(p *parts, in Input, image string) (map[string]string, error) {
	examples, first, err := examples(in.Samples, p.definitions)
	if err != nil {
		return nil, err
	}
	namespace, err := json.Marshal(suggestedNamespace(p.namespace))
	if err != nil {
		return nil, fmt.Errorf("encode the suggested namespace: %w", err)
	}
	annotations := map[string]string{
		"alm-examples":   examples,
		"capabilities":   capabilities,
		"categories":     categories,
		"certified":      "false",
		"containerImage": image,
		"description":    summary,
		"repository":     repository,
		"support":        provider.Name,
		"operatorframework.io/initialization-resource":      first,
		"operatorframework.io/suggested-namespace":          p.namespace.Name,
		"operatorframework.io/suggested-namespace-template": string(namespace),
	}
	if in.Release.Replaces != "" {
		// Any earlier version can be upgraded to this one, whatever lies between.
		annotations[operatorsv1alpha1.SkipRangeAnnotationKey] = fmt.Sprintf(">=%s <%s", firstVersion, in.Release.Version)
	}
	return annotations, nil
}

// suggestedNamespace is the namespace with its labels: those of Pod security count.
func suggestedNamespace(namespace *corev1.Namespace) map[string]any {
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Namespace",
		"metadata":   map[string]any{"name": namespace.Name, "labels": namespace.Labels},
	}
}

// examples are the samples as consoles offer them. The first of them is the one without
// which the operator does nothing.
func examples(samples []*unstructured.Unstructured, definitions []definition) (all, first string, err error) {
	if err := everyKindHasASample(samples, definitions); err != nil {
		return "", "", err
	}
	var objects []map[string]any
	for _, sample := range samples {
		if sample.GetKind() != initializationKind {
			objects = append(objects, sample.Object)
			continue
		}
		content, err := json.MarshalIndent(sample.Object, "", "  ")
		if err != nil {
			return "", "", fmt.Errorf("encode sample %s: %w", sample.GetName(), err)
		}
		first = string(content)
		objects = append([]map[string]any{sample.Object}, objects...)
	}
	content, err := json.MarshalIndent(objects, "", "  ")
	if err != nil {
		return "", "", fmt.Errorf("encode samples: %w", err)
	}
	return string(content), first, nil
}

func everyKindHasASample(samples []*unstructured.Unstructured, definitions []definition) error {
	shown := map[string]bool{}
	for _, sample := range samples {
		shown[sample.GetKind()] = true
	}
	for _, crd := range definitions {
		if !shown[crd.Spec.Names.Kind] {
			return fmt.Errorf("kind %s has no sample; consoles offer one to start from, so add a file to config/samples", crd.Spec.Names.Kind)
		}
	}
	if !shown[initializationKind] {
		return fmt.Errorf("kind %s has no sample; it is the one that consoles ask for after the installation", initializationKind)
	}
	return nil
}
