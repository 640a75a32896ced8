package snapshot

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadFaults is how many faults of pages the thread has had, and -1 where that is not known.
// A goroutine that compares two counts has to be locked to its thread meanwhile.
func threadFaults() int64 {
	var usage unix.Rusage
	// It does not wait for anything, so that Go's scheduler need not hear of it.
	_, _, errno := unix.RawSyscall(unix.SYS_GETRUSAGE, unix.RUSAGE_THREAD, uintptr(unsafe.Pointer(&usage)), 0) //nolint:gosec // as unix.Getrusage does
	if errno != 0 {
		return -1
	}
	return usage.Minflt + usage.Majflt
}

// errUncounted says that a page became private and the count of faults did not tell.
var errUncounted = errors.New("a fault of a page was not counted")

// Pages of the trial of faults: of the image and behind it, written at once and read before.
const (
	faultImage = iota
	faultImageRead
	faultGrowth
	faultGrowthRead
	faultPages
)

// tryFaults looks whether each page that becomes private is a fault that is counted.
func (s *System) tryFaults(count func() int64) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	memory, err := s.NewMemory(uint64(faultPages * s.pageSize))
	if err != nil {
		return err
	}
	defer memory.Free()
	memory.Reallocate(uint64(faultGrowth * s.pageSize))[faultImageRead*s.pageSize] = 1
	image, err := memory.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	if err := memory.Adopt(image); err != nil {
		return err
	}
	content := memory.Reallocate(uint64(faultPages * s.pageSize))
	read := content[faultImageRead*s.pageSize] + content[faultGrowthRead*s.pageSize]
	for page := range faultPages {
		before := count()
		content[page*s.pageSize] += read
		if count() <= before {
			return errUncounted
		}
	}
	return nil
}
