//go:build !linux

package snapshot

// System is what this machine allows, which is nothing.
type System struct{}

// Open says ErrUnsupported.
func Open() (*System, error) { return nil, ErrUnsupported }

// Method is never asked.
func (*System) Method() (Method, error) { return MethodCopy, ErrUnsupported }

// Distrust does nothing.
func (*System) Distrust(error) {}

// PageSize is never asked.
func (*System) PageSize() int { return 0 }

// Close does nothing.
func (*System) Close() error { return nil }

// NewMemory says ErrUnsupported.
func (*System) NewMemory(uint64) (*Memory, error) { return nil, ErrUnsupported }

// Image is a content of a memory; there are none.
type Image struct{}

// Len is 0.
func (*Image) Len() int { return 0 }

// Close does nothing.
func (*Image) Close() error { return nil }

// Memory is the memory of an instance; there are none.
type Memory struct{}

// Reallocate answers that there is no memory.
func (*Memory) Reallocate(uint64) []byte { return nil }

// Force does nothing.
func (*Memory) Force() {}

// Free does nothing.
func (*Memory) Free() {}

// Snapshot says ErrUnsupported.
func (*Memory) Snapshot() (*Image, error) { return nil, ErrUnsupported }

// Adopt says ErrUnsupported.
func (*Memory) Adopt(*Image) error { return ErrUnsupported }

// Grown says that it has not.
func (*Memory) Grown() bool { return false }

// Watch does nothing.
func (*Memory) Watch() {}

// Restore says ErrUnsupported.
func (*Memory) Restore(bool) (Restored, error) { return Restored{}, ErrUnsupported }

// Check says ErrUnsupported.
func (*Memory) Check() error { return ErrUnsupported }
