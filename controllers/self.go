package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownContainer is the operator's container in its own Pod (config/manager/manager.yaml).
const ownContainer = "operator"

// OwnImage is the image that the operator runs from, read off its own Pod: whoever changes
// the image of the operator's Deployment, by an overlay or through OLM, has changed that of
// the policy servers too.
func OwnImage(ctx context.Context, config *rest.Config, pod types.NamespacedName) (string, error) {
	reader, err := client.New(config, client.Options{})
	if err != nil {
		return "", fmt.Errorf("make client: %w", err)
	}
	own := &corev1.Pod{}
	if err := reader.Get(ctx, pod, own); err != nil {
		return "", fmt.Errorf("get the operator's own Pod: %w", err)
	}
	return imageOf(own)
}

func imageOf(pod *corev1.Pod) (string, error) {
	for i := range pod.Spec.Containers {
		if container := &pod.Spec.Containers[i]; container.Name == ownContainer {
			return container.Image, nil
		}
	}
	return "", fmt.Errorf("find the operator's own image: Pod %s/%s has no container named %q", pod.Namespace, pod.Name, ownContainer)
}
