package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
	"github.com/kubewarden/kubewarden-operator/test/bench/record"
)

// config is the command line.
type config struct {
	binary, modules, out, logLevel string
	policies, concurrency          int
	duration                       time.Duration
	soak, noCgroup                 bool
}

// openClients bounds the requests under way at half load: as many as the server may queue.
const openClients = 256

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, arguments []string, log io.Writer) error {
	if len(arguments) > 0 && arguments[0] == floor.Command {
		return floor.Serve(ctx, arguments[1:])
	}
	c, err := parse(arguments, log)
	if err != nil {
		return err
	}
	if c.soak {
		return c.run(ctx, log, c.measureSoak)
	}
	return c.run(ctx, log, c.measureLoad)
}

func parse(arguments []string, log io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&c.binary, "binary", "bin/kubewarden", "the program that is measured")
	flags.StringVar(&c.modules, "modules", "bin/policies", "folder with the modules of policies/, for a soak")
	flags.StringVar(&c.out, "out", "", "file of the result (default build/load.json or build/soak.json)")
	flags.StringVar(&c.logLevel, "server-log-level", "error", "log level of the server")
	flags.IntVar(&c.policies, "policies", 20, "number of policies")
	flags.IntVar(&c.concurrency, "concurrency", 16, "requests under way at the same time, as fast as possible")
	flags.DurationVar(&c.duration, "duration", 0, "how long each phase takes (default 20s, a soak 10m)")
	flags.BoolVar(&c.soak, "soak", false, "soak: half load, a changed policy each second, memory watched")
	flags.BoolVar(&c.noCgroup, "no-cgroup", false, "soak without a bound of memory")
	if err := flags.Parse(arguments); err != nil {
		return c, err
	}
	const most = 24 * time.Hour
	switch {
	case flags.NArg() > 0:
		return c, fmt.Errorf("argument %q is not allowed; there are only flags", flags.Arg(0))
	case c.policies < 1 || c.policies > 1000:
		return c, fmt.Errorf("--policies is %d; allowed are 1 to 1000", c.policies)
	case c.concurrency < 1 || c.concurrency > openClients:
		return c, fmt.Errorf("--concurrency is %d; allowed are 1 to %d", c.concurrency, openClients)
	case c.duration < 0 || c.duration > most:
		return c, fmt.Errorf("--duration is %s; allowed is up to %s", c.duration, most)
	case c.noCgroup && !c.soak:
		return c, errors.New("--no-cgroup goes with --soak")
	}
	return c, c.setDefaults()
}

func (c *config) setDefaults() (err error) {
	out, duration := "build/load.json", 20*time.Second
	if c.soak {
		out, duration = "build/soak.json", 10*time.Minute
	}
	if c.out == "" {
		c.out = out
	}
	if c.duration == 0 {
		c.duration = duration
	}
	// The server takes no relative file URLs.
	if c.modules, err = filepath.Abs(c.modules); err != nil {
		return fmt.Errorf("find the modules: %w", err)
	}
	return nil
}

// measurement measures a server that runs.
type measurement func(ctx context.Context, at *server, into *result, log io.Writer) error

// run starts a server, measures it, stops it, and writes the result.
func (c config) run(ctx context.Context, log io.Writer, measure measurement) (err error) {
	dir, err := os.MkdirTemp("", "kubewarden-load-")
	if err != nil {
		return fmt.Errorf("make a folder for the server: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if !c.soak {
		c.modules = filepath.Join(dir, "guests")
		if err := buildGuests(ctx, c.modules); err != nil {
			return err
		}
	}
	if err := writePolicies(dir, c.modules, c.fixtures()); err != nil {
		return err
	}
	group, err := c.cgroup()
	if err != nil {
		return err
	}
	if group != nil {
		defer func() { err = errors.Join(err, group.remove()) }()
	}
	found := &result{Policies: c.policies, Concurrency: c.concurrency, Phases: map[string]phaseSummary{}}
	running, err := c.start(ctx, serverConfig{binary: c.binary, dir: dir, logLevel: c.logLevel, cgroup: group, log: log}, found)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "the server was ready after %s with %d policies\n", running.readyAfter.Round(time.Millisecond), c.policies)
	err = running.while(ctx, func(ctx context.Context) error { return measure(ctx, running, found, log) })
	stopped := running.stop()
	switch {
	case ctx.Err() != nil:
		return errors.Join(errors.New("interrupted"), stopped)
	case err != nil:
		return errors.Join(err, stopped)
	}
	found.fail(stopped)
	return c.conclude(found, log)
}

// start starts a server, for a load several times.
func (c config) start(ctx context.Context, with serverConfig, into *result) (running *server, err error) {
	if c.soak {
		return startServer(ctx, with)
	}
	running, into.Boot, err = boot(ctx, with)
	return running, err
}

// conclude writes and tells what was found. What does not hold is an error.
func (c config) conclude(found *result, log io.Writer) error {
	if !c.soak {
		found.Figures = found.figures()
	}
	if err := errors.Join(record.Write(c.out, found), found.tell(log)); err != nil {
		return err
	}
	fmt.Fprintf(log, "%.0f requests/s; at half of it p50 %.2f ms, p95 %.2f ms, p99 %.2f ms; %.0f MB; %d errors; see %s\n",
		found.RPS, found.P50, found.P95, found.P99, found.RSS, found.Errors, c.out)
	if found.Errors > 0 {
		return fmt.Errorf("%d errors, the first: %s", found.Errors, found.Problems[0])
	}
	if problems := unheld(found.Figures); len(problems) > 0 {
		return fmt.Errorf("%d figures do not hold:\n  %s", len(problems), strings.Join(problems, "\n  "))
	}
	return nil
}

// cgroup is the group of the server in a soak, nil without one.
func (c config) cgroup() (*cgroup, error) {
	if !c.soak || c.noCgroup {
		return nil, nil //nolint:nilnil // no group is asked for
	}
	tree, err := findHierarchy(cgroupMount)
	if err != nil {
		return nil, err
	}
	return tree.newGroup(soakMemory)
}

func (c config) fixtures() []fixture {
	fixtures := make([]fixture, 0, c.policies+3)
	for number := range c.policies {
		if c.soak {
			fixtures = append(fixtures, newFixture(number, 0))
		} else {
			fixtures = append(fixtures, namedFixture(number))
		}
	}
	if c.soak {
		fixtures = append(fixtures, c.brokenFixture())
		fixtures = append(fixtures, c.visitors()...)
	}
	return fixtures
}

// writePolicies writes policies.yml so that no reader sees a part of it.
func writePolicies(dir, modules string, fixtures []fixture) error {
	entries := contract.Policies{}
	for _, policy := range fixtures {
		entry, err := policy.entry(modules)
		if err != nil {
			return err
		}
		entries[policy.id] = entry
	}
	text, err := contract.EncodePolicies(entries)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "policies.yml")
	if err := os.WriteFile(path+".next", text, 0o600); err != nil {
		return fmt.Errorf("write policies: %w", err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		return fmt.Errorf("write policies: %w", err)
	}
	return nil
}

// check holds what the server has counted against what was received.
func (r *result) check(counted counters, phases ...*phase) {
	r.Connections = counted.connections
	all := &phase{answered: map[asked]int64{}}
	for _, one := range phases {
		for key, count := range one.answered {
			all.answered[key] += count
		}
	}
	for _, count := range counted.evaluations {
		r.Evaluations += count
	}
	verdicts := all.verdicts()
	maps.DeleteFunc(verdicts, func(id string, _ int64) bool { return counted.forgotten[id] })
	r.fail(crossCheck("evaluations", counted.evaluations, verdicts))
	r.fail(crossCheck("answers with status", counted.requests, all.byStatus()))
}
