package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// interval is how often a lock that somebody else holds is tried again.
const interval = 200 * time.Millisecond

// Folder locks a folder, which it makes if need be, against other processes that do the
// same. If it has to wait, it calls waiting once. The lock ends with release, or with the
// process.
func Folder(ctx context.Context, path string, waiting func()) (release func(), err error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, err
	}
	folder, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = folder.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = folder.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			_ = folder.Close()
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-ticker.C:
		}
	}
}
