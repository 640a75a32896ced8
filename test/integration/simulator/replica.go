//go:build integration

package simulator

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Replica is the process of a policy server, as far as the operator can tell.
type Replica struct {
	// Client has the rights of the policy server's ServiceAccount.
	Client client.Client
	// Server is the PolicyServer's name, Name the Pod's.
	Server, Name string
	// Started is when the process started.
	Started time.Time
	// Tag is the digest of the module that every tag stands for when the process resolves it.
	Tag string
	// Served and Refused are what the process holds of each policy.
	Served  map[string]contract.Entry
	Refused map[string]contract.Failure
	// FellBack are the policies of Served that are the last good revision, and its name.
	FellBack map[string]string
	// Written is the last report, as it stands in the ConfigMap.
	Written string
}

// ModuleDigest is what every tag stands for unless a test says otherwise.
const ModuleDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// NewReplica is a process that has loaded nothing yet.
func NewReplica(own client.Client, server, name string) *Replica {
	return &Replica{
		Client: own, Server: server, Name: name, Started: time.Now(), Tag: ModuleDigest,
		Served: map[string]contract.Entry{}, Refused: map[string]contract.Failure{}, FellBack: map[string]string{},
	}
}

// Refusal is why a process does not load an entry.
type Refusal struct {
	Reason  contract.Reason
	Message string
}

// Configuration is what a process reads of its ConfigMap.
type Configuration struct {
	Policies contract.Policies
	LastGood map[string]contract.LastGood
}

// Read reads the configuration with the replica's own rights.
func (r *Replica) Read(ctx context.Context) (Configuration, error) {
	var configMap corev1.ConfigMap
	key := client.ObjectKey{Namespace: Namespace, Name: contract.ConfigMapName(r.Server)}
	if err := r.Client.Get(ctx, key, &configMap); err != nil {
		return Configuration{}, fmt.Errorf("read ConfigMap %s: %w", key.Name, err)
	}
	return decodeConfiguration(&configMap)
}

func decodeConfiguration(configMap *corev1.ConfigMap) (Configuration, error) {
	policies, refused, err := contract.DecodePolicies([]byte(configMap.Data[contract.KeyPolicies]))
	if err != nil || len(refused) > 0 {
		return Configuration{}, fmt.Errorf("decode %s: %w, entries %v", contract.KeyPolicies, err, refused)
	}
	lastGood, refused, err := contract.DecodeLastGood([]byte(configMap.Data[contract.KeyLastGood]))
	if err != nil || len(refused) > 0 {
		return Configuration{}, fmt.Errorf("decode %s: %w, entries %v", contract.KeyLastGood, err, refused)
	}
	return Configuration{Policies: policies, LastGood: lastGood}, nil
}

// Take takes over every entry but those that refuse refuses. What is refused keeps what it
// had of the same policy.
func (r *Replica) Take(wanted contract.Policies, refuse func(id string, entry contract.Entry) *Refusal) error {
	r.Refused = map[string]contract.Failure{}
	for id := range r.Served {
		if _, ok := wanted[id]; !ok {
			delete(r.Served, id)
			delete(r.FellBack, id)
		}
	}
	for id, entry := range wanted {
		refusal := refuse(id, entry)
		if refusal == nil {
			r.Served[id] = r.resolved(entry, r.Served[id])
			delete(r.FellBack, id)
			continue
		}
		hash, err := contract.EntryHash(entry)
		if err != nil {
			return err
		}
		r.Refused[id] = contract.NewFailure(hash, refusal.Reason, refusal.Message)
		if r.Served[id].UID != entry.UID {
			// A policy that was deleted and made again inherits nothing.
			delete(r.Served, id)
			delete(r.FellBack, id)
		}
	}
	return nil
}

// resolved is an entry with the digests of the modules that the process serves it with: what
// is pinned, what it serves already, or else what the tag stands for.
func (r *Replica) resolved(entry, before contract.Entry) contract.Entry {
	entry = render.CarryPins(entry, before)
	tag := map[string]string{"": r.Tag}
	for name := range entry.Policies {
		tag[name] = r.Tag
	}
	return render.Pin(entry, tag)
}

// Report writes the replica's key of the report ConfigMap, with its own rights. wanted is
// what it has dealt with.
func (r *Replica) Report(ctx context.Context, wanted contract.Policies) error {
	report, err := r.report(wanted)
	if err != nil {
		return err
	}
	payload, _, err := contract.EncodeReport(report, 0)
	if err != nil {
		return err
	}
	applied := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": Namespace, "name": contract.ReportConfigMapName(r.Server)},
		"data":     map[string]any{r.Name: string(payload)},
	}}
	r.Written = string(payload)
	return r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied),
		client.FieldOwner(r.Name), client.ForceOwnership)
}

func (r *Replica) report(wanted contract.Policies) (contract.Report, error) {
	revision, err := contract.ConfigRevision(wanted)
	if err != nil {
		return contract.Report{}, err
	}
	report := contract.Report{
		Contract: contract.Version, Version: "0.0.0-test", StartTime: r.Started.UTC().Format(time.RFC3339Nano),
		ConfigRevision: revision, Policies: map[string]contract.Served{}, Failures: r.Refused, Digests: map[string]string{},
	}
	for id, entry := range r.Served {
		if report.Policies[id], err = r.served(id, entry); err != nil {
			return contract.Report{}, err
		}
		if wanted[id].ModuleDigest != entry.ModuleDigest {
			report.Digests[id] = entry.ModuleDigest
		}
		for name, member := range entry.Policies {
			if wanted[id].Policies[name].ModuleDigest != member.ModuleDigest {
				report.Digests[contract.MemberID(id, name)] = member.ModuleDigest
			}
		}
	}
	return report, nil
}

func (r *Replica) served(id string, entry contract.Entry) (contract.Served, error) {
	revision, err := contract.Revision(entry, entry.PinnedDigest())
	if err != nil {
		return contract.Served{}, err
	}
	if good, ok := r.FellBack[id]; ok {
		revision = good
	}
	return contract.Served{
		Revision: revision, ModuleDigest: contract.ShortDigest(entry.PinnedDigest()), Owner: contract.OwnerHash(entry.UID),
	}, nil
}
