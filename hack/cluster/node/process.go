package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// pollInterval is how often something that is awaited is looked at.
const pollInterval = 50 * time.Millisecond

// stopPatience is how long a process may take to end after SIGTERM.
const stopPatience = 10 * time.Second

// process is one long-running program of the node.
type process struct {
	// name is the component's; the process shows it as its own name too.
	name string
	// program is the path of the executable, args what follows its name.
	program string
	args    []string
}

// start runs the process in a session of its own, so that it outlives this program. It is
// known by its environment alone (see components), hence also when this program dies the
// very moment after.
func (l Layout) start(p process) error {
	if l.PID(p.name) != 0 {
		return nil
	}
	if err := os.MkdirAll(l.path("logs"), 0o750); err != nil {
		return err
	}
	log, err := os.OpenFile(l.LogFile(p.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has it too
	cmd := &exec.Cmd{
		Path:        p.program,
		Args:        append([]string{p.name}, p.args...),
		Env:         append(os.Environ(), l.mark(p.name)),
		Dir:         l.State,
		Stdout:      log,
		Stderr:      log,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	// The child is left to init when this program ends; until then it is reaped here, so
	// that a component that dies is seen as gone.
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	return l.awaitMark(p.name, ended)
}

// awaitMark waits until a process that was just started can be found, or has ended: the
// kernel shows the arguments and the environment of a new program a moment after the
// program is there, which is long on a busy machine.
func (l Layout) awaitMark(name string, ended <-chan struct{}) error {
	patient, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	err := poll(patient, func() bool {
		select {
		case <-ended:
			return true
		default:
			return l.PID(name) != 0
		}
	})
	if err != nil {
		return fmt.Errorf("find %s, which was just started: %w", name, err)
	}
	return nil
}

// markVariable is the environment variable that says which node and component a process
// belongs to. Its children inherit it, containers do not.
const markVariable = "KUBEWARDEN_CLUSTER_NODE"

func (l Layout) mark(name string) string { return markVariable + "=" + l.State + ":" + name }

// helpers is the component that a program is marked with which only lives for a while.
const helpers = "helpers"

// Adopt marks this process, so that Down knows the programs that it starts, a compiler or
// kubectl, as the node's own if this process is killed and they live on.
func (l Layout) Adopt() error {
	return os.Setenv(markVariable, l.State+":"+helpers)
}

// PID is the process number of a component, 0 if it does not run.
func (l Layout) PID(name string) int {
	for _, found := range running() {
		if found.leader && filepath.Base(found.args[0]) == name && found.has(l.mark(name)) {
			return found.pid
		}
	}
	return 0
}

// marked are the processes of components whose names begin with prefix, and those that
// they started and that outlived them.
func (l Layout) marked(prefix string) []int {
	var found []int
	for _, candidate := range running() {
		if candidate.pid != os.Getpid() && candidate.hasPrefix(l.mark(prefix)) {
			found = append(found, candidate.pid)
		}
	}
	return found
}

// stop ends a component: politely, then for good, at once if the context ends. One that is
// gone already is no error.
func (l Layout) stop(ctx context.Context, name string) error {
	pid := l.PID(name)
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	patient, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if poll(patient, func() bool { return l.PID(name) != pid }) == nil {
		return nil
	}
	return kill(context.WithoutCancel(ctx), []int{pid})
}

// kill ends processes without asking and waits until they are gone.
func kill(ctx context.Context, pids []int) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	patient, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	gone := func() bool { return !slices.ContainsFunc(pids, alive) }
	if err := poll(patient, gone); err != nil {
		return fmt.Errorf("wait for the end of processes %v: %w", pids, err)
	}
	return nil
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
		if died = l.PID(name) == 0; died {
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
