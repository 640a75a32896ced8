package configured

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Configuration is what the ConfigMap of a policy server holds. It must not be written to.
type Configuration struct {
	// Policies are the entries that can be read; those that others broke are not among them.
	Policies contract.Policies
	// Refused are the policies whose entries got no room.
	Refused map[string]render.RefusedEntry
	// LastGood are the revisions to fall back on.
	LastGood map[string]contract.LastGood
}

// Reader decodes such ConfigMaps and remembers the last results for each, since every policy
// of a server asks for the same. The zero value is ready for use, by many at once.
type Reader struct {
	mutex   sync.Mutex
	decoded map[types.NamespacedName][]decoded
}

// remembered is how many results there are for each ConfigMap: who looks at a change asks for
// the one before, too.
const remembered = 2

type decoded struct {
	uid             types.UID
	resourceVersion string
	configuration   Configuration
	err             error
}

// Decode reads a ConfigMap. An error says that policies.yml as a whole or another key cannot
// be read; what can be is in the result.
func (r *Reader) Decode(configMap *corev1.ConfigMap) (Configuration, error) {
	key := types.NamespacedName{Namespace: configMap.Namespace, Name: configMap.Name}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, known := range r.decoded[key] {
		if known.uid == configMap.UID && known.resourceVersion == configMap.ResourceVersion {
			return known.configuration, known.err
		}
	}
	configuration, err := decode(configMap.Data)
	if r.decoded == nil {
		r.decoded = map[types.NamespacedName][]decoded{}
	}
	r.decoded[key] = append(r.decoded[key], decoded{configMap.UID, configMap.ResourceVersion, configuration, err})
	if len(r.decoded[key]) > remembered {
		r.decoded[key] = slices.Clone(r.decoded[key][1:])
	}
	return configuration, err
}

func decode(data map[string]string) (Configuration, error) {
	text, found := data[contract.KeyPolicies]
	if !found {
		return Configuration{}, nil
	}
	policies, _, err := contract.DecodePolicies([]byte(text))
	if err != nil {
		return Configuration{}, err
	}
	// What cannot be read of this is written again by the next reconcile.
	refused, refusedErr := render.DecodeRefused(data[render.KeyRefused])
	lastGood, unreadable, lastGoodErr := contract.DecodeLastGood([]byte(data[contract.KeyLastGood]))
	for id, err := range unreadable {
		lastGoodErr = errors.Join(lastGoodErr, fmt.Errorf("decode the last good revision of policy %q: %w", id, err))
	}
	return Configuration{Policies: policies, Refused: refused, LastGood: lastGood}, errors.Join(refusedErr, lastGoodErr)
}
