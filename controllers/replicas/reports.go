package replicas

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Reports decodes report ConfigMaps and remembers the last result for each, since every
// policy of a server asks for the same. The zero value is ready for use, by many at once.
type Reports struct {
	mutex   sync.Mutex
	decoded map[types.NamespacedName]decoded
}

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
	last, ok := r.decoded[key]
	if ok && last.uid == configMap.UID && last.resourceVersion == configMap.ResourceVersion {
		return last.reports, last.unreadable
	}
	reports, unreadable := contract.DecodeReports(configMap.Data, configMap.BinaryData)
	if r.decoded == nil {
		r.decoded = map[types.NamespacedName]decoded{}
	}
	r.decoded[key] = decoded{
		uid: configMap.UID, resourceVersion: configMap.ResourceVersion, reports: reports, unreadable: unreadable,
	}
	return reports, unreadable
}
