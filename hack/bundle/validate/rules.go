package validate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/operator-framework/api/pkg/manifests"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// input is what our own rules look at.
type input struct {
	*manifests.Bundle
	metadata metadata
}

// metadata are the files that say what OLM has to have resolved before the installation.
type metadata struct {
	Dependencies []entry `json:"dependencies"`
	Properties   []entry `json:"properties"`
}

type entry struct {
	Type string `json:"type"`
}

// readMetadata reads what a bundle may have beside its annotations.
func readMetadata(dir string) (metadata, error) {
	var read metadata
	for _, name := range []string{"dependencies.yaml", "properties.yaml"} {
		content, err := os.ReadFile(filepath.Join(dir, "metadata", name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return read, err
		}
		if err := yaml.Unmarshal(content, &read); err != nil {
			return read, fmt.Errorf("decode metadata/%s: %w", name, err)
		}
	}
	return read, nil
}

// rules are our own; each check returns a message for each thing that is wrong.
var rules = []struct {
	name  string
	check func(*input) []string
}{
	{"kinds", checkKinds},
	{"install-modes", checkInstallModes},
	{"dependencies", checkDependencies},
	{"webhooks", checkWebhooks},
	{"namespaces", checkNamespaces},
	{"rights", checkRights},
	{"descriptions", checkDescriptions},
	{"images", checkImages},
}

// allowedKinds are those that OLM v0 and OLM v1 both install.
var allowedKinds = []string{
	"ClusterRole", "ClusterRoleBinding", "ClusterServiceVersion", "ConfigMap", "ConsoleCLIDownload", "ConsoleLink", "ConsolePlugin",
	"ConsoleQuickStart", "ConsoleYAMLSample", "CustomResourceDefinition", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PriorityClass",
	"PrometheusRule", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount", "ServiceMonitor", "VerticalPodAutoscaler",
}

func checkKinds(in *input) (messages []string) {
	for _, object := range in.Objects {
		if !slices.Contains(allowedKinds, object.GetKind()) {
			messages = append(messages, fmt.Sprintf("%s %s: OLM installs no such kind; allowed are %s", object.GetKind(), object.GetName(), strings.Join(allowedKinds, ", ")))
		}
	}
	return messages
}

// checkInstallModes holds that the operator watches all namespaces and nothing less: OLM v1
// knows no other mode.
func checkInstallModes(in *input) (messages []string) {
	for _, mode := range in.CSV.Spec.InstallModes {
		if wanted := mode.Type == operatorsv1alpha1.InstallModeTypeAllNamespaces; mode.Supported != wanted {
			messages = append(messages, fmt.Sprintf("spec.installModes: %s is %t, want %t", mode.Type, mode.Supported, wanted))
		}
	}
	return messages
}

// unresolved are the demands on other packages that OLM v1 does not resolve.
var unresolved = []string{"olm.constraint", "olm.gvk.required", "olm.package.required", "olm.gvk", "olm.package"}

func checkDependencies(in *input) (messages []string) {
	for _, one := range append(in.metadata.Dependencies, in.metadata.Properties...) {
		if slices.Contains(unresolved, one.Type) {
			messages = append(messages, fmt.Sprintf("metadata: %s demands something of other packages, which OLM v1 does not resolve", one.Type))
		}
	}
	if count := len(in.CSV.Spec.CustomResourceDefinitions.Required); count > 0 {
		messages = append(messages, fmt.Sprintf("spec.customresourcedefinitions.required: %d entries demand something of other packages, which OLM v1 does not resolve", count))
	}
	if services := in.CSV.Spec.APIServiceDefinitions; len(services.Owned)+len(services.Required) > 0 {
		messages = append(messages, "spec.apiservicedefinitions: OLM v1 installs no API services")
	}
	return messages
}

// checkNamespaces holds that no object says where it is to be: that is whoever installs it.
func checkNamespaces(in *input) (messages []string) {
	for _, object := range in.Objects {
		if namespace := object.GetNamespace(); namespace != "" {
			messages = append(messages, fmt.Sprintf("%s %s: metadata.namespace is %q; a bundle does not know where it will be installed", object.GetKind(), object.GetName(), namespace))
		}
		for _, subject := range subjectsOf(object) {
			namespace, named := subject["namespace"]
			if object.GetKind() == "RoleBinding" && named {
				messages = append(messages, fmt.Sprintf("RoleBinding %s: the namespace of a subject is %q; without one it is the binding's own", object.GetName(), namespace))
			}
			if object.GetKind() == "ClusterRoleBinding" && subject["kind"] == "ServiceAccount" {
				messages = append(messages, fmt.Sprintf("ClusterRoleBinding %s: a subject is an account, which needs a namespace, and a bundle does not know where it will be installed", object.GetName()))
			}
		}
	}
	return messages
}

func subjectsOf(object *unstructured.Unstructured) (subjects []map[string]any) {
	list, _, _ := unstructured.NestedSlice(object.Object, "subjects")
	for _, one := range list {
		if subject, isMap := one.(map[string]any); isMap {
			subjects = append(subjects, subject)
		}
	}
	return subjects
}

// checkImages holds that every image is named where mirroring tools look for it, and that
// none moves.
func checkImages(in *input) (messages []string) {
	related := make([]string, 0, len(in.CSV.Spec.RelatedImages))
	for _, image := range in.CSV.Spec.RelatedImages {
		related = append(related, image.Image)
	}
	for _, deployment := range in.CSV.Spec.InstallStrategy.StrategySpec.DeploymentSpecs {
		for _, container := range deployment.Spec.Template.Spec.Containers {
			if !slices.Contains(related, container.Image) {
				messages = append(messages, fmt.Sprintf("spec.relatedImages lacks %s of container %s; a mirror would lack it too", container.Image, container.Name))
			}
		}
	}
	for _, image := range related {
		name := image[strings.LastIndex(image, "/")+1:]
		if tag := name[strings.IndexAny(name+":", ":@"):]; tag == "" || tag == ":" || tag == ":latest" {
			messages = append(messages, fmt.Sprintf("spec.relatedImages: %s names no version", image))
		}
	}
	return messages
}
