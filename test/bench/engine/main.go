package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
	"github.com/kubewarden/kubewarden-operator/test/bench/record"
)

type config struct {
	rounds int
	file   string
}

func main() {
	var c config
	flag.IntVar(&c.rounds, "rounds", 17, fmt.Sprintf("turns that each engine has with each guest and payload, %d times", passes))
	flag.StringVar(&c.file, "file", "", "file for the figures; build/bench.json of the tree by default")
	flag.Parse()
	err := onOneProcessor()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err = run(ctx, c, os.Stdout)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config, out io.Writer) error {
	if c.rounds < 1 {
		return fmt.Errorf("--rounds %d: want at least 1", c.rounds)
	}
	root, err := build.Root(".")
	if err != nil {
		return err
	}
	if c.file == "" {
		c.file = filepath.Join(root, "build", "bench.json")
	}
	engines, err := newEngines(ctx)
	if err != nil {
		return err
	}
	defer engines.close(context.WithoutCancel(ctx))
	rows, problems := engines.measure(ctx, root, c.rounds)
	if err := errors.Join(record.Write(c.file, rows), table(out, rows)); err != nil {
		return err
	}
	problems = append(problems, broken(rows)...)
	if len(problems) > 0 {
		return fmt.Errorf("%d figures do not hold; on a busy machine a second run may say otherwise:\n  %s",
			len(problems), strings.Join(problems, "\n  "))
	}
	return nil
}

// engines are all that is measured.
type engines struct {
	pristine, fresh, warm *policy.Engine
	reuse                 *reuse
	other                 *other
}

func newEngines(ctx context.Context) (*engines, error) {
	pristine, err := policy.NewEngine(ctx, policy.Config{})
	if err != nil {
		return nil, err
	}
	if got := pristine.Stats(); got.Isolation != policy.IsolationPristine || got.Method != "pagemap" {
		return nil, fmt.Errorf("instances are %s and their memory is put back by %s, want %s and pagemap: the figures are about that",
			got.Isolation, got.Method, policy.IsolationPristine)
	}
	fresh, err := policy.NewEngine(ctx, policy.Config{Isolation: policy.IsolationFresh})
	if err != nil {
		return nil, err
	}
	warm, err := policy.NewEngine(ctx, policy.Config{WarmUp: warmUp})
	if err != nil {
		return nil, err
	}
	unsafe, err := newReuse(ctx)
	if err != nil {
		return nil, err
	}
	return &engines{pristine: pristine, fresh: fresh, warm: warm, reuse: unsafe, other: newOther()}, nil
}

func (e *engines) close(ctx context.Context) {
	if err := errors.Join(e.other.close(), e.pristine.Close(ctx), e.fresh.Close(ctx), e.warm.Close(ctx), e.reuse.close(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// measure gives the rows of all guests, and what was wrong with them.
func (e *engines) measure(ctx context.Context, root string, rounds int) (rows []row, problems []string) {
	var all []*series
	for _, of := range guests.All() {
		made, err := e.seriesOf(ctx, root, of)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", of.Name, err))
		}
		all = append(all, made...)
	}
	for range passes {
		all = slices.DeleteFunc(all, func(of *series) bool {
			err := of.pass(rounds)
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s %s: %v", of.guest, of.payload, err))
			}
			return err != nil
		})
	}
	for _, of := range all {
		rows = append(rows, of.rows()...)
	}
	return rows, problems
}

// seriesOf are those of a guest, with all payloads, once all engines agree about it.
func (e *engines) seriesOf(ctx context.Context, root string, of guests.Guest) ([]*series, error) {
	module, err := of.Build(ctx, root)
	if err != nil {
		return nil, err
	}
	theirs, err := e.other.asker(of, module)
	if err != nil {
		return nil, err
	}
	askers, err := e.askers(ctx, of, module)
	if err != nil {
		return nil, err
	}
	var made []*series
	for _, payload := range sizes {
		request := of.Request(payload.bytes)
		subjects, err := sameVerdict(of, question{request, true}, theirs, askers)
		if err == nil && of.Refused != nil {
			_, err = sameVerdict(of, question{of.Refused(request), false}, theirs, askers)
		}
		if err != nil {
			return made, fmt.Errorf("%s: %w", payload.name, err)
		}
		made = append(made, newSeries(of.Name, payload.name, subjects)...)
	}
	return made, nil
}

// askers are our modes of a guest.
func (e *engines) askers(ctx context.Context, of guests.Guest, module []byte) (map[string]asker, error) {
	askers := map[string]asker{}
	for _, mode := range modesOf(of) {
		var err error
		switch mode {
		case modePristine:
			askers[mode], err = engineAsker(ctx, e.pristine, of, module)
		case modeFresh:
			askers[mode], err = engineAsker(ctx, e.fresh, of, module)
		case modeWarm:
			askers[mode], err = warmAsker(ctx, e.warm, of, module)
		default:
			askers[mode], err = e.reuse.asker(ctx, of, module)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mode, err)
		}
	}
	return askers, nil
}

// question is a request and whether it has to be accepted.
type question struct {
	request  json.RawMessage
	accepted bool
}

// sameVerdict has everybody judge a request: all must accept it, or refuse it in the same
// words, twice. The result has wasmtime and our modes by name.
func sameVerdict(of guests.Guest, about question, theirs asker, ours map[string]asker) (map[string]subject, error) {
	want, err := theirs(about.request)
	if err != nil {
		return nil, fmt.Errorf("wasmtime: %w", err)
	}
	if want.Accepted != about.accepted {
		return nil, fmt.Errorf("wasmtime: got verdict %s, want accepted %t", text(want), about.accepted)
	}
	subjects := map[string]subject{}
	add := func(name string, ask asker) error {
		for range 2 {
			got, err := ask(about.request)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if !reflect.DeepEqual(got, want) {
				return fmt.Errorf("%s: got verdict %s, want wasmtime's, %s", name, text(got), text(want))
			}
		}
		subjects[name] = subject{name: name, ask: func() error {
			got, err := ask(about.request)
			if err == nil && got.Accepted != about.accepted {
				err = fmt.Errorf("got verdict %s, want accepted %t", text(got), about.accepted)
			}
			return err
		}}
		return nil
	}
	if err := add(wasmtimeName, theirs); err != nil {
		return nil, err
	}
	for _, mode := range modesOf(of) {
		if err := add(mode, ours[mode]); err != nil {
			return nil, err
		}
	}
	return subjects, nil
}

func text(response protocol.ValidationResponse) string {
	message := "none"
	if response.Message != nil {
		message = *response.Message
	}
	return fmt.Sprintf("accepted %t, message %s", response.Accepted, message)
}
