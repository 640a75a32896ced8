package memory

import "math"

const (
	mebibyte = 1 << 20
	// leastReserve and mostReserve bound what is kept back for all but the engine:
	// requests, TLS, the configuration, and a module being compiled, which takes some 75 MB
	// for a while where the module has 3.5 MB.
	leastReserve = 96 * mebibyte
	mostReserve  = 512 * mebibyte
	// leastGoLimit is below which Go's memory limit is never set: the collector would do
	// nothing but collect.
	leastGoLimit = 32 * mebibyte
)

// Plan is what is whose of a limit, in bytes. The zero value has no bounds.
type Plan struct {
	// Limit is that of the container; 0 for none.
	Limit int64
	// Modules is what compiled modules may have together, Guests what the memories of
	// running guests may, Objects what is kept of a cluster for policies that read it. None
	// can take from another: what is served today can be asked, and loading a module cannot
	// make requests fail.
	Modules, Guests, Objects int64
}

// NewPlan divides a limit: a quarter, within bounds, is kept back; of the rest an eighth is
// for objects, and modules and guests have half of what is left. Of very little memory half
// is kept back.
func NewPlan(limit int64) Plan {
	if limit <= 0 {
		return Plan{}
	}
	reserve := min(max(limit/4, leastReserve), mostReserve, limit/2)
	rest := limit - reserve
	objects := rest / 8
	half := (rest - objects) / 2
	return Plan{Limit: limit, Modules: half, Guests: half, Objects: objects}
}

// GoLimit is Go's memory limit when the engine holds a number of bytes outside of Go's heap:
// nine tenths of what they leave. Go does not count them, but the kernel does.
func (p Plan) GoLimit(outside int64) int64 {
	if p.Limit <= 0 {
		return math.MaxInt64
	}
	return max((p.Limit-outside)/10*9, leastGoLimit)
}
