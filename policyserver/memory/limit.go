package memory

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Limit is the memory that this process may have, with everything else in its container.
type Limit struct {
	// Bytes is 0 where there is no limit: the memory of the machine is none.
	Bytes int64
	// File is where the limit was read; "" where there is none.
	File string
}

// unlimited is from where on a limit of version 1 is none: there is no word for it, and the
// kernel gives the largest number of whole pages.
const unlimited = 1 << 60

// tree is a mounted hierarchy of control groups that bounds memory.
type tree struct {
	// mount is where it is mounted, root the group that is seen there, group that of the
	// process; the latter two as the hierarchy names them.
	mount, root, group string
	file               string // that holds the limit
}

// Find reads the limit of the process that root shows in /proc/self: the smallest of its
// control group and of those above it, as far as they can be seen. Without control groups
// there is none. An error says which file could not be read.
func Find(root fs.FS) (Limit, error) {
	groups, err := read(root, "proc/self/cgroup")
	mounts, failed := read(root, "proc/self/mountinfo")
	if err := errors.Join(err, failed); err != nil {
		return Limit{}, fmt.Errorf("find the control group: %w", err)
	}
	var found Limit
	for _, one := range trees(groups, mounts) {
		limit, err := one.limit(root)
		if err != nil {
			return Limit{}, err
		}
		if limit.Bytes > 0 && (found.Bytes == 0 || limit.Bytes < found.Bytes) {
			found = limit
		}
	}
	return found, nil
}

func read(root fs.FS, file string) (string, error) {
	content, err := fs.ReadFile(root, file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // not a Linux with control groups
	}
	return string(content), err
}

// trees finds the hierarchies of both versions in /proc/self/cgroup (cgroups(7)) and
// /proc/self/mountinfo (proc_pid_mountinfo(5)).
func trees(groups, mounts string) []tree {
	var unified, legacy string
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(fields) < 3:
		case fields[0] == "0" && fields[1] == "":
			unified = fields[2]
		case listed(fields[1], "memory"):
			legacy = fields[2]
		}
	}
	var found []tree
	for line := range strings.Lines(mounts) {
		left, right, _ := strings.Cut(line, " - ")
		where, what := strings.Fields(left), strings.Fields(right)
		if len(where) < 5 || len(what) < 3 {
			continue
		}
		one := tree{mount: unescape(where[4]), root: unescape(where[3])}
		switch {
		case what[0] == "cgroup2" && unified != "":
			one.group, one.file = unified, "memory.max"
		case what[0] == "cgroup" && legacy != "" && listed(what[2], "memory"):
			one.group, one.file = legacy, "memory.limit_in_bytes"
		default:
			continue
		}
		found = append(found, one)
	}
	return found
}

func listed(list, item string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == item {
			return true
		}
	}
	return false
}

// unescape takes back how mountinfo writes blanks and the like.
func unescape(field string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(field)
}

// limit is the smallest from the group up to what is mounted. A container may see its own
// group as the root of the mount, whatever the host calls it.
func (t tree) limit(root fs.FS) (Limit, error) {
	below, inside := strings.CutPrefix(t.group, strings.TrimSuffix(t.root, "/"))
	if !inside || strings.Contains(below, "..") || (below != "" && below[0] != '/') {
		below = "" // a group beside that of the mount: only the mount's own can be seen
	}
	var smallest Limit
	for at := path.Clean("/" + below); ; at = path.Dir(at) {
		file := path.Join(t.mount, at, t.file)
		bytes, err := readLimit(root, file)
		if err != nil {
			return Limit{}, err
		}
		if bytes > 0 && (smallest.Bytes == 0 || bytes < smallest.Bytes) {
			smallest = Limit{Bytes: bytes, File: file}
		}
		if at == "/" {
			return smallest, nil
		}
	}
}

// readLimit reads one limit; 0 is none.
func readLimit(root fs.FS, file string) (int64, error) {
	text, err := read(root, strings.TrimPrefix(file, "/"))
	text = strings.TrimSpace(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read memory limit: %w", err)
	case text == "" || text == "max":
		return 0, nil
	}
	bytes, err := strconv.ParseInt(text, 10, 64)
	if err != nil || bytes < 0 {
		return 0, fmt.Errorf("read memory limit: %s holds %q, want a number of bytes or max", file, text)
	}
	if bytes >= unlimited {
		return 0, nil
	}
	return bytes, nil
}
