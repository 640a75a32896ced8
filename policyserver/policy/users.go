package policy

import "sync"

// users counts who uses something, so that it is given back after the last of them and
// nobody begins to use it then.
type users struct {
	mutex  sync.Mutex
	count  int
	closed bool
	gone   func() // called once, when there are no users and will be none
}

func newUsers(gone func()) *users { return &users{gone: gone} }

// enter begins a use; it answers false when there must be no more.
func (u *users) enter() bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	if u.closed {
		return false
	}
	u.count++
	return true
}

// leave ends a use.
func (u *users) leave() {
	u.mutex.Lock()
	u.count--
	last := u.closed && u.count == 0
	u.mutex.Unlock()
	if last {
		u.gone()
	}
}

// close says that there must be no more uses.
func (u *users) close() {
	u.mutex.Lock()
	last := !u.closed && u.count == 0
	u.closed = true
	u.mutex.Unlock()
	if last {
		u.gone()
	}
}

// closeUnused closes when there are no users, and says whether there were none.
func (u *users) closeUnused() bool {
	u.mutex.Lock()
	unused := u.count == 0
	last := !u.closed && unused
	u.closed = u.closed || unused
	u.mutex.Unlock()
	if last {
		u.gone()
	}
	return last
}
