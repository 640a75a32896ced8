package snapshot

import (
	"errors"
	"fmt"
	"math"
)

// ErrUnsupported says that this operating system has no snapshots.
var ErrUnsupported = errors.New("snapshots of memory are supported on Linux only")

// Method is how a System finds out what to put back.
type Method int

const (
	// MethodCopy puts back all pages.
	MethodCopy Method = iota
	// MethodPagemap puts back the pages that the pagemap of the process calls private.
	MethodPagemap
)

// String is the method's name in logs and metrics.
func (m Method) String() string {
	switch m {
	case MethodCopy:
		return "copy"
	case MethodPagemap:
		return "pagemap"
	default:
		return fmt.Sprintf("Method(%d)", int(m))
	}
}

// Restored is what it took to restore a Memory.
type Restored struct {
	// Pages were put back one by one. The size of a page is the system's.
	Pages int
	// Asked says that the system was asked which pages are private.
	Asked bool
	// Dropped says that all private pages were given back to the system, since there were
	// far more of them than usual or it was time to; Pages is then not all of them.
	Dropped bool
}

// habit is how many pages a call usually makes private. A Memory that has far more gives them
// back to the system: they would be copied after every call to come, and take memory
// meanwhile.
type habit struct {
	usual    int
	restores int
	// mixed says that pages may be private which the last call has not written.
	mixed bool
}

// Bounds on private pages. A page stays private once it was written, whether or not it is
// ever written again: they are dropped now and then in any case, at first more often, until
// it is known what is usual.
const (
	dropEvery = 256
	// slack is by how many pages more than twice the usual number are still not too many.
	slack = 64
)

// limit is how many private pages are put back one by one; more are dropped together.
func (h *habit) limit() int {
	switch {
	case h.restores == 0:
		return math.MaxInt
	case h.restores&(h.restores-1) == 0, h.restores%dropEvery == 0:
		return 0
	default:
		return 2*h.usual + slack
	}
}

// note takes down what was restored. How many pages a call writes shows only when all that were
// private had been dropped before it.
func (h *habit) note(restored Restored) {
	switch counted := restored.Asked && !h.mixed; {
	case h.restores == 0:
		h.usual = restored.Pages
	case counted:
		h.usual += (restored.Pages - h.usual) / 4
	}
	h.mixed = !restored.Dropped
	h.restores++
}
