//go:build integration

package operator

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// autoscale has an autoscaler choose up to most replicas; "" has none any more.
func (c *cluster) autoscale(t *testing.T, server *policiesv1.PolicyServer, most string) {
	t.Helper()
	change(t, c, server, func(s *policiesv1.PolicyServer) {
		s.Spec.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[policiesv1.AnnotationMaxReplicas] = most
		if most == "" {
			delete(s.Annotations, policiesv1.AnnotationMaxReplicas)
		}
	})
}

// playAutoscaler writes the number of replicas as the autoscaler of Kubernetes does.
func (c *cluster) playAutoscaler(t *testing.T, deployment *appsv1.Deployment, replicas int32) {
	t.Helper()
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
	err := c.admin.SubResource("scale").Update(t.Context(), deployment, client.WithSubResourceBody(scale), client.FieldOwner("kube-controller-manager"))
	if err != nil {
		t.Fatal(err)
	}
}

func hasReplicas(c *cluster, server *policiesv1.PolicyServer, want int32) func(context.Context) error {
	return func(ctx context.Context) error {
		deployment := named(&appsv1.Deployment{}, render.DeploymentName(server.Name))
		if err := c.mustExist(ctx, deployment); err != nil {
			return err
		}
		if got := *deployment.Spec.Replicas; got != want {
			return fmt.Errorf("the Deployment asks for %d replicas, want %d", got, want)
		}
		return nil
	}
}

func wants(c *cluster, server *policiesv1.PolicyServer, want int32) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
			return err
		}
		if replicas := server.Status.Replicas; replicas == nil || replicas.Wanted != want {
			return fmt.Errorf("the status says %+v, want %d replicas wanted", replicas, want)
		}
		return nil
	}
}

// ownsReplicas complains while the operator has the number of replicas for its own.
func ownsReplicas(c *cluster, deployment *appsv1.Deployment) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.mustExist(ctx, deployment); err != nil {
			return err
		}
		for _, entry := range deployment.ManagedFields {
			if entry.Manager == "kubewarden-operator" && entry.FieldsV1 != nil && containsReplicas(entry.FieldsV1.GetRawBytes()) {
				return fmt.Errorf("the operator still owns spec.replicas")
			}
		}
		return nil
	}
}

func TestAnAutoscalerIsNotFought(t *testing.T) {
	server := shared.createServer(t, "scaled")
	deployment := named(&appsv1.Deployment{}, render.DeploymentName(server.Name))
	within(t, patience, hasReplicas(shared, server, 2))
	neverBelow := shared.watchReplicas(t, deployment, 2)

	shared.autoscale(t, server, "6")
	autoscaler := named(&autoscalingv2.HorizontalPodAutoscaler{}, render.DeploymentName(server.Name))
	within(t, patience, func(ctx context.Context) error { return shared.mustExist(ctx, autoscaler) })
	within(t, patience, ownsReplicas(shared, deployment))
	if got := *autoscaler.Spec.MinReplicas; got != 2 || autoscaler.Spec.MaxReplicas != 6 {
		t.Errorf("the autoscaler chooses from %d to %d, want from 2 to 6", got, autoscaler.Spec.MaxReplicas)
	}
	shared.playAutoscaler(t, deployment, 5)
	within(t, patience, wants(shared, server, 5))
	// Another write of the Deployment leaves the number alone, too.
	change(t, shared, server, func(s *policiesv1.PolicyServer) { s.Spec.Labels = map[string]string{"example.com/tier": "control"} })
	within(t, patience, func(ctx context.Context) error {
		err := shared.mustExist(ctx, deployment)
		if err == nil && deployment.Labels["example.com/tier"] != "control" {
			err = fmt.Errorf("the Deployment has the labels %v", deployment.Labels)
		}
		return err
	})
	throughout(t, time.Second, hasReplicas(shared, server, 5))
	shared.playAutoscaler(t, deployment, 3)
	throughout(t, time.Second, hasReplicas(shared, server, 3))
	if below := neverBelow(); below != "" {
		t.Error(below)
	}

	// To none by the user's word, and back.
	change(t, shared, server, func(s *policiesv1.PolicyServer) { s.Spec.Replicas = new(int32(0)) })
	within(t, patience, hasReplicas(shared, server, 0))
	within(t, patience, func(ctx context.Context) error { return shared.mustNotExist(ctx, autoscaler) })
	change(t, shared, server, func(s *policiesv1.PolicyServer) { s.Spec.Replicas = new(int32(2)) })
	within(t, patience, hasReplicas(shared, server, 2))
	within(t, patience, ownsReplicas(shared, deployment))

	shared.playAutoscaler(t, deployment, 6)
	within(t, patience, wants(shared, server, 6))
	shared.autoscale(t, server, "")
	within(t, patience, hasReplicas(shared, server, 2))
	within(t, patience, func(ctx context.Context) error { return shared.mustNotExist(ctx, autoscaler) })
	within(t, patience, wants(shared, server, 2))
}

// watchReplicas watches a Deployment; what it returns ends that, and complains if there were
// fewer replicas meanwhile.
func (c *cluster) watchReplicas(t *testing.T, deployment *appsv1.Deployment, least int32) func() string {
	t.Helper()
	watching, err := client.NewWithWatch(c.Config, client.Options{Scheme: c.admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := watching.Watch(t.Context(), &appsv1.DeploymentList{}, client.InNamespace(deployment.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	complaints := make(chan string, 1)
	go func() {
		complaint := ""
		for event := range watcher.ResultChan() {
			seen, ok := event.Object.(*appsv1.Deployment)
			if ok && seen.Name == deployment.Name && *seen.Spec.Replicas < least {
				complaint = fmt.Sprintf("the Deployment asked for %d replicas in between, want never fewer than %d", *seen.Spec.Replicas, least)
			}
		}
		complaints <- complaint
	}()
	return func() string {
		watcher.Stop()
		return <-complaints
	}
}

func containsReplicas(fields []byte) bool {
	return bytes.Contains(fields, []byte(`"f:replicas"`))
}

// scaleByItself has an autoscaler come, and go.
func (c *cluster) scaleByItself(t *testing.T, server *policiesv1.PolicyServer) {
	t.Helper()
	autoscaler := named(&autoscalingv2.HorizontalPodAutoscaler{}, render.DeploymentName(server.Name))
	c.autoscale(t, server, "4")
	within(t, unhurried, func(ctx context.Context) error { return c.mustExist(ctx, autoscaler) })
	c.autoscale(t, server, "")
	within(t, unhurried, func(ctx context.Context) error { return c.mustNotExist(ctx, autoscaler) })
}
