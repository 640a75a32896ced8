package node

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// procDir is where the kernel shows the machine's processes.
const procDir = "/proc"

// runningProcess is what the kernel shows of a process.
type runningProcess struct {
	pid int
	// leader says that it leads a session, as every component does.
	leader bool
	// args are its name and arguments, at least one.
	args []string
	env  []string
}

func (p runningProcess) has(variable string) bool { return slices.Contains(p.env, variable) }

func (p runningProcess) hasPrefix(prefix string) bool {
	return slices.ContainsFunc(p.env, func(variable string) bool { return strings.HasPrefix(variable, prefix) })
}

// running are the processes that may be looked at. Those that end meanwhile, threads of
// the kernel, and those of other users are left out.
func running() []runningProcess {
	entries, err := os.ReadDir(procDir)
	if err != nil {
		return nil
	}
	var found []runningProcess
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		args, env := zeroSeparated(pid, "cmdline"), zeroSeparated(pid, "environ")
		if len(args) == 0 || len(env) == 0 {
			continue
		}
		found = append(found, runningProcess{pid: pid, leader: session(pid) == pid, args: args, env: env})
	}
	return found
}

func zeroSeparated(pid int, name string) []string {
	content, err := os.ReadFile(filepath.Join(procDir, strconv.Itoa(pid), name))
	if err != nil || len(content) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(content), "\x00"), "\x00")
}

// session is the session of a process, 0 if it is gone.
func session(pid int) int {
	stat, err := os.ReadFile(filepath.Join(procDir, strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	return sessionOf(stat)
}

// sessionOf reads the line of /proc/PID/stat. The program's name, in parentheses, may hold
// anything; after it come state, parent, process group and session.
func sessionOf(stat []byte) int {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 4 {
		return 0
	}
	number, err := strconv.Atoi(fields[3])
	if err != nil {
		return 0
	}
	return number
}

// alive says whether a process still runs. One that ended and was not yet reaped by its
// parent holds nothing any more, and shows no arguments.
func alive(pid int) bool {
	return len(zeroSeparated(pid, "cmdline")) > 0
}
