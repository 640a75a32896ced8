package node

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmountRounds bounds how often the mounts are read again: a container that just ended
// can still be letting go of its own.
const unmountRounds = 5

// Unmount takes away every mount at or below the folders, the innermost first. It fails
// when one stays: then their files must stay too, because they may be somebody else's.
func Unmount(folders ...string) error {
	for round := 0; ; round++ {
		mountinfo, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return fmt.Errorf("read mounts: %w", err)
		}
		paths := mountsBelow(string(mountinfo), folders)
		if len(paths) == 0 {
			return nil
		}
		var failures []error
		for _, path := range paths {
			if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
				failures = append(failures, fmt.Errorf("unmount %s: %w", path, err))
			}
		}
		if round >= unmountRounds && len(failures) > 0 {
			return fmt.Errorf("%d of %d mounts stay: %w", len(failures), len(paths), failures[0])
		}
	}
}

// mountsBelow are the mount points at or below the folders, in the order in which they can
// be unmounted: the reverse of the order in which they were mounted. mountinfo is the
// content of /proc/self/mountinfo (proc_pid_mountinfo(5)).
func mountsBelow(mountinfo string, folders []string) []string {
	const mountPoint = 4
	var found []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) <= mountPoint {
			continue
		}
		path := unescape(fields[mountPoint])
		if slices.ContainsFunc(folders, func(folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }) {
			found = append(found, path)
		}
	}
	slices.Reverse(found)
	return found
}

// unescape reads the octal escapes by which the kernel writes spaces, tabs, line ends and
// backslashes in paths.
func unescape(path string) string {
	const digits = 3
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+digits < len(path) {
			if value, err := strconv.ParseUint(path[i+1:i+1+digits], 8, 8); err == nil {
				out.WriteByte(byte(value))
				i += digits
				continue
			}
		}
		out.WriteByte(path[i])
	}
	return out.String()
}
