package apply

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// memory knows, for each object, what was last wanted of it and what the API server made
// of that. It answers "would writing again change anything?" without a request and
// without imitating the API server's defaults: as long as the same is wanted and the live
// object still is what the last write returned, the answer is no.
//
//	wanted changed                                    -> write
//	live has the resource version of the last write   -> nothing to do
//	live differs in a field that is rendered          -> write (drift)
//	live differs elsewhere (status, data of others)   -> nothing to do
//
// After a restart it is empty and every object is written once; the API server stores
// nothing when such a write changes nothing.
type memory struct {
	mutex   sync.Mutex
	records map[string]record
}

type record struct {
	uid             types.UID
	resourceVersion string
	wanted, live    fingerprint
}

type fingerprint [sha256.Size]byte

func newMemory() *memory { return &memory{records: map[string]record{}} }

func (m *memory) unchanged(wanted *wanted, live client.Object) (bool, error) {
	last, ok := m.recall(wanted.String())
	if !ok || last.uid != live.GetUID() {
		return false, nil
	}
	wantedNow, err := fingerprintWanted(wanted)
	if err != nil || wantedNow != last.wanted {
		return false, err
	}
	if live.GetResourceVersion() == last.resourceVersion {
		return true, nil
	}
	liveNow, err := fingerprintLive(wanted, live)
	return liveNow == last.live, err
}

func (m *memory) remember(wanted *wanted, written client.Object) error {
	wantedNow, err := fingerprintWanted(wanted)
	if err != nil {
		return err
	}
	liveNow, err := fingerprintLive(wanted, written)
	if err != nil {
		return err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.records[wanted.String()] = record{
		uid:             written.GetUID(),
		resourceVersion: written.GetResourceVersion(),
		wanted:          wantedNow,
		live:            liveNow,
	}
	return nil
}

func (m *memory) recall(name string) (record, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	last, ok := m.records[name]
	return last, ok
}

func (m *memory) forget(name string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.records, name)
}

// fingerprintWanted leaves the UID out, which is a precondition and not a wish.
func fingerprintWanted(wanted *wanted) (fingerprint, error) {
	content := wanted.object.DeepCopy()
	content.SetUID("")
	return sum(wanted, content.Object)
}

// fingerprintLive covers the top-level fields that are rendered, whole, and of the
// metadata what can be rendered. A top-level field that is not rendered belongs to others:
// status, and the data of a ConfigMap that replicas write.
func fingerprintLive(wanted *wanted, live client.Object) (fingerprint, error) {
	encoded, err := json.Marshal(live)
	if err != nil {
		return fingerprint{}, fmt.Errorf("encode %s: %w", wanted, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(encoded, &fields); err != nil {
		return fingerprint{}, fmt.Errorf("decode %s: %w", wanted, err)
	}
	covered := map[string]any{
		"labels":          live.GetLabels(),
		"annotations":     live.GetAnnotations(),
		"ownerReferences": live.GetOwnerReferences(),
	}
	for name := range wanted.object.Object {
		switch name {
		case "apiVersion", "kind", "metadata":
		default:
			covered["."+name] = fields[name]
		}
	}
	return sum(wanted, covered)
}

func sum(wanted *wanted, content map[string]any) (fingerprint, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return fingerprint{}, fmt.Errorf("encode %s: %w", wanted, err)
	}
	return sha256.Sum256(encoded), nil
}
