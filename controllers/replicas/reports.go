package replicas

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Reports decodes report ConfigMaps and remembers the last results for each, since every
// policy of a server asks for the same. The zero value is ready for use, by many at once.
type Reports struct {
	mutex   sync.Mutex
	decoded map[types.NamespacedName][]decoded
}

// remembered is how many results there are for each ConfigMap: who looks at a change asks for
// the one before, too.
const remembered = 2

type decoded struct {
	uid             types.UID
	resourceVersion string
	reports         map[string]contract.Report
	unreadable      map[string]error
}

// Decode reads the report of each replica, by Pod name. A report that cannot be read
// stands in the second result instead. Neither result may be written to.
func (r *Reports) Decode(configMap *corev1.ConfigMap) (map[string]contract.Report, map[string]error) {
	key := types.NamespacedName{Namespace: configMap.Namespace, Name: configMap.Name}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, known := range r.decoded[key] {
		if known.uid == configMap.UID && known.resourceVersion == configMap.ResourceVersion {
			return known.reports, known.unreadable
		}
	}
	reports, unreadable := contract.DecodeReports(configMap.Data, configMap.BinaryData)
	if r.decoded == nil {
		r.decoded = map[types.NamespacedName][]decoded{}
	}
	r.decoded[key] = append(r.decoded[key], decoded{
		uid: configMap.UID, resourceVersion: configMap.ResourceVersion, reports: reports, unreadable: unreadable,
	})
	if len(r.decoded[key]) > remembered {
		r.decoded[key] = slices.Clone(r.decoded[key][1:])
	}
	return reports, unreadable
}
