package policy

import "time"

// reachDelay is how long after its readiness a replica counts as reachable from everywhere:
// the Service's endpoints must get from the API server to the proxy of every node, which by
// default takes them up once a second, and the time of a condition has whole seconds. A
// webhook that is called before refuses requests for nothing.
const reachDelay = 3 * time.Second

// untilReachable is how long a first webhook has to wait until the replica that has been
// ready for longest can be reached; 0 when it can, or when there is none to wait for.
func (s *state) untilReachable(now time.Time) time.Duration {
	if s.standing.any() != nil || s.replicas.Ready == 0 {
		return 0
	}
	return min(max(0, s.replicas.ReadySince.Add(reachDelay).Sub(now)), reachDelay)
}
