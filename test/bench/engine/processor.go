package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// onOneProcessor begins the command anew, bound to one of the processors that it may use, if
// there are more. Processors may be threads of one core: whatever else this process does on the
// other, such as collecting garbage, would slow down whoever is measured by up to a half, and
// not the same contender each time.
func onOneProcessor() error {
	runtime.LockOSThread() // the thread that is bound is the one that goes on
	defer runtime.UnlockOSThread()
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("read the processors that there are: %w", err)
	}
	if allowed.Count() == 1 {
		return nil
	}
	for processor := range len(allowed) * 64 {
		if allowed.IsSet(processor) {
			one.Zero()
			one.Set(processor) // the last one: the first is often the one for interrupts
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("bind to one processor: %w", err)
	}
	command, err := os.Executable()
	if err != nil {
		return err
	}
	if err := syscall.Exec(command, os.Args, os.Environ()); err != nil { //nolint:gosec // this command itself
		return fmt.Errorf("begin anew on one processor: %w", err)
	}
	return nil
}
