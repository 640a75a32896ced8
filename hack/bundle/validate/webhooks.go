package validate

import (
	"fmt"
	"slices"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
)

// refusedGroups are those that OLM lets no operator's webhook judge.
var refusedGroups = []string{everything, "operators.coreos.com", "olm.operatorframework.io"}

// checkWebhooks holds what OLM checks when it installs, not before.
func checkWebhooks(in *input) (messages []string) {
	specs := in.CSV.Spec.InstallStrategy.StrategySpec.DeploymentSpecs
	deployments := make([]string, 0, len(specs))
	for _, deployment := range specs {
		deployments = append(deployments, deployment.Name)
	}
	names := make([]string, 0, len(in.CSV.Spec.WebhookDefinitions))
	for i := range in.CSV.Spec.WebhookDefinitions {
		webhook := &in.CSV.Spec.WebhookDefinitions[i]
		where := "spec.webhookdefinitions: " + webhook.GenerateName
		if slices.Contains(names, webhook.GenerateName) {
			messages = append(messages, where+": the name is taken")
		}
		names = append(names, webhook.GenerateName)
		if !slices.Contains(deployments, webhook.DeploymentName) {
			messages = append(messages, fmt.Sprintf("%s: deploymentName is %q; the bundle has %v", where, webhook.DeploymentName, deployments))
		}
		messages = append(messages, checkWebhookRules(where, webhook)...)
	}
	return messages
}

func checkWebhookRules(where string, webhook *operatorsv1alpha1.WebhookDescription) (messages []string) {
	if webhook.Type == operatorsv1alpha1.ConversionWebhook {
		return nil
	}
	for _, rule := range webhook.Rules {
		for _, group := range rule.APIGroups {
			if slices.Contains(refusedGroups, group) {
				messages = append(messages, fmt.Sprintf("%s: a rule covers the group %q, which OLM refuses", where, group))
			}
			if group == "admissionregistration.k8s.io" {
				messages = append(messages, where+": a rule covers webhook configurations, which OLM refuses")
			}
		}
	}
	return messages
}
