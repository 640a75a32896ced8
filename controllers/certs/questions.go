package certs

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// questions knows since when an issuer has been asked on behalf of an object though no
// Certificate tells of it: the API server may refuse to take one, for instance because
// cert-manager's own webhook does not answer.
type questions struct {
	mutex sync.Mutex
	first map[types.UID]time.Time
}

// since returns when it was called for the owner for the first time.
func (q *questions) since(owner client.Object, now time.Time) time.Time {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if first, ok := q.first[owner.GetUID()]; ok {
		return first
	}
	if q.first == nil {
		q.first = map[types.UID]time.Time{}
	}
	q.first[owner.GetUID()] = now
	return now
}
