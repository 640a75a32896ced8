//go:build integration

package model

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// lag is how old what the operator knows may be.
const lag = 2 * time.Second

// witness watches webhooks come and go.
type witness struct {
	world  *world
	mutex  sync.Mutex
	cancel context.CancelFunc
	ended  chan error
	// standing are the configurations that exist, kind and name, and the servers that they
	// called when they came.
	standing map[string]string
	// excuses say which of those that stood at the last pause may go.
	excuses  excuses
	breaches []string
}

func newWitness(ctx context.Context, w *world) (*witness, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	caches, err := cache.New(w.cluster.Config, cache.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make the witness's caches: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	it := &witness{
		world: w, cancel: cancel, ended: make(chan error, 1),
		standing: map[string]string{}, excuses: newExcuses(),
	}
	for _, webhook := range webhooksNamed("any") {
		informer, err := caches.GetInformer(ctx, webhook, cache.BlockUntilSynced(false))
		if err != nil {
			cancel()
			return nil, fmt.Errorf("watch webhooks: %w", err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: it.comes, DeleteFunc: it.goes}); err != nil {
			cancel()
			return nil, fmt.Errorf("watch webhooks: %w", err)
		}
	}
	go func() { it.ended <- caches.Start(ctx) }()
	if !caches.WaitForCacheSync(ctx) {
		cancel()
		return nil, fmt.Errorf("fill the witness's caches: %w", ctx.Err())
	}
	return it, nil
}

func (it *witness) stop() error {
	it.cancel()
	return <-it.ended
}

// excuse notes what lets webhooks go until the next pause.
func (it *witness) excuse(note func(*excuses)) {
	it.mutex.Lock()
	defer it.mutex.Unlock()
	note(&it.excuses)
}

// pausing begins a new time: what stands now may not go without an excuse.
func (it *witness) pausing() {
	it.mutex.Lock()
	defer it.mutex.Unlock()
	it.excuses = newExcuses()
	for key, server := range it.standing {
		_, name := splitKey(key)
		it.excuses.stood[name] = server
	}
}

// mustStand says whether a webhook stood at the last pause and nothing has excused it since.
func (it *witness) mustStand(name string) bool {
	it.mutex.Lock()
	defer it.mutex.Unlock()
	return it.excuses.mustStand(name)
}

// seen are the breaches so far.
func (it *witness) seen() []string {
	it.mutex.Lock()
	defer it.mutex.Unlock()
	return append([]string{}, it.breaches...)
}

func (it *witness) comes(object any) {
	now := time.Now()
	webhook, server, path, ours := describe(object)
	if !ours {
		return
	}
	it.mutex.Lock()
	defer it.mutex.Unlock()
	_, validates := it.standing["v "+webhook.GetName()]
	_, mutates := it.standing["m "+webhook.GetName()]
	it.standing[kindOf(webhook)+" "+webhook.GetName()] = server
	if validates || mutates {
		return // spec.mutating was flipped
	}
	uid, known := it.world.uidOf(webhook)
	if !known {
		return // the policy is gone again; the pause will find a webhook that stays
	}
	if first, ever := it.world.workloads.FirstServed(server, uid); !ever || first.After(now) {
		it.breaches = append(it.breaches, fmt.Sprintf("webhook %s calls %s of server %s, which has never served the policy", webhook.GetName(), path, server))
		return
	}
	for _, replica := range it.world.workloads.Replicas(server) {
		if !replica.Ready || now.Sub(replica.ReadySince) < lag || replica.Terminating {
			continue
		}
		if first, ever := it.world.workloads.FirstServed(replica.Pod, uid); !ever || first.After(now) {
			it.breaches = append(it.breaches, fmt.Sprintf("webhook %s was created while ready replica %s did not serve the policy", webhook.GetName(), replica.Pod))
		}
	}
}

func (it *witness) goes(object any) {
	if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	webhook, _, _, ours := describe(object)
	if !ours {
		return
	}
	it.mutex.Lock()
	defer it.mutex.Unlock()
	name := webhook.GetName()
	delete(it.standing, kindOf(webhook)+" "+name)
	if it.excuses.mustStand(name) && !it.world.exists(name) {
		it.breaches = append(it.breaches, fmt.Sprintf("webhook %s went without a reason", name))
	}
}

// exists says whether there is a webhook of that name, of either kind: one that goes because
// spec.mutating was flipped leaves the other behind.
func (w *world) exists(name string) bool {
	for _, webhook := range webhooksNamed(name) {
		if exists, err := w.get(context.Background(), webhook); err == nil && exists {
			return true
		}
	}
	return false
}

func kindOf(webhook client.Object) string {
	if _, ok := webhook.(*admissionregistrationv1.MutatingWebhookConfiguration); ok {
		return "m"
	}
	return "v"
}

func splitKey(key string) (kind, name string) { return key[:1], key[2:] }

// describe tells of a webhook configuration of a policy whom it calls.
func describe(object any) (webhook client.Object, server, path string, ours bool) {
	var service *admissionregistrationv1.ServiceReference
	switch object := object.(type) {
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		webhook = object
		if len(object.Webhooks) > 0 {
			service = object.Webhooks[0].ClientConfig.Service
		}
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		webhook = object
		if len(object.Webhooks) > 0 {
			service = object.Webhooks[0].ClientConfig.Service
		}
	}
	if webhook == nil || service == nil || service.Path == nil || !render.IsOurs(webhook.GetLabels()) || webhook.GetName() == render.OwnWebhooks {
		return nil, "", "", false
	}
	return webhook, strings.TrimPrefix(service.Name, "policy-server-"), *service.Path, true
}

// uidOf is the UID of the policy that a webhook belongs to.
func (w *world) uidOf(webhook client.Object) (string, bool) {
	for place := range policies {
		policy := newPolicy(place)
		if webhookName(policy) != webhook.GetName() {
			continue
		}
		exists, err := w.get(context.Background(), policy)
		return string(policy.GetUID()), err == nil && exists
	}
	return "", false
}
