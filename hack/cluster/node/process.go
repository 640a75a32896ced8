package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pollInterval is how often something that is awaited is looked at.
const pollInterval = 100 * time.Millisecond

// stopPatience is how long a process may take to end after SIGTERM.
const stopPatience = 15 * time.Second

// process is one long-running program of the node.
type process struct {
	name string
	args []string
	env  []string
}

func (l Layout) pidFile(name string) string { return l.path("pids", name) }

// LogFile is where a component's output goes.
func (l Layout) LogFile(name string) string { return l.path("logs", name+".log") }

// start runs the process in a session of its own, so that it outlives this program, and
// writes its pid before anything else can fail.
func (l Layout) start(p process) error {
	if l.Running(p.name) {
		return nil
	}
	for _, file := range []string{l.pidFile(p.name), l.LogFile(p.name)} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(l.LogFile(p.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = l.State
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	// The child is left to init when this program ends; until then it is reaped here, so
	// that a component that dies is seen as gone.
	go func() { _ = cmd.Wait() }()
	record := fmt.Sprintf("%d %s\n", cmd.Process.Pid, p.args[0])
	if err := os.WriteFile(l.pidFile(p.name), []byte(record), 0o644); err != nil {
		return err
	}
	// The kernel shows a program's arguments a moment after it was started.
	settled, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = poll(settled, func() bool { return l.Running(p.name) })
	return nil
}

// pid is the process of a component if it still runs. A pid file whose process is gone,
// or whose number now belongs to another program, counts as not running.
func (l Layout) pid(name string) (int, bool) {
	record, err := os.ReadFile(l.pidFile(name))
	if err != nil {
		return 0, false
	}
	number, program, _ := strings.Cut(strings.TrimSpace(string(record)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 {
		return 0, false
	}
	return pid, isProgram(pid, program)
}

// isProgram says whether the process runs the program, by what it was started as: the
// link /proc/PID/exe says "(deleted)" once a binary was replaced.
func isProgram(pid int, program string) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	first, _, _ := bytes.Cut(cmdline, []byte{0})
	return string(first) == program
}

// Running says whether a component's process is there.
func (l Layout) Running(name string) bool {
	_, ok := l.pid(name)
	return ok
}

// PID is the process number of a component, 0 if it does not run.
func (l Layout) PID(name string) int {
	pid, ok := l.pid(name)
	if !ok {
		return 0
	}
	return pid
}

// stop ends a component: politely, then for good. One that is gone already is no error.
func (l Layout) stop(ctx context.Context, name string) error {
	pid, ok := l.pid(name)
	if ok {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		patient, cancel := context.WithTimeout(ctx, stopPatience)
		defer cancel()
		if poll(patient, func() bool { return !l.Running(name) }) != nil {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %s: %w", name, err)
			}
		}
	}
	err := os.Remove(l.pidFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// poll waits until the condition holds.
func poll(ctx context.Context, condition func() bool) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if condition() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// await waits until probe succeeds while the named component runs, and shows the end of
// its log when it does not.
func (l Layout) await(ctx context.Context, name string, patience time.Duration, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := errors.New("it was not asked yet")
	died := false
	err := poll(ctx, func() bool {
		if died = !l.Running(name); died {
			return true
		}
		last = probe(ctx)
		return last == nil
	})
	switch {
	case died:
		return fmt.Errorf("%s ended; the end of %s:\n%s", name, l.LogFile(name), tail(l.LogFile(name)))
	case err != nil:
		return fmt.Errorf("%s is not ready after %s: %w; the end of %s:\n%s", name, patience, last, l.LogFile(name), tail(l.LogFile(name)))
	}
	return nil
}

// tail is the last lines of a file.
func tail(path string) string {
	const lines = 15
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
