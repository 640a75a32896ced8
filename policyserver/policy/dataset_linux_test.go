package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// large are settings that are worth a dataset.
func large(mark string) []byte {
	return fmt.Appendf(nil, `{"mark":%q,"filling":%q}`, mark, strings.Repeat("x", leastData))
}

// ask asks a number of times, and wants to be accepted.
func ask(t *testing.T, module *Module, call Call, times int) {
	t.Helper()
	for range times {
		if response, err := module.Validate(t.Context(), call, []byte(`{}`)); err != nil || !response.Accepted {
			t.Fatalf("got %+v, %v; want to be accepted", response, err)
		}
	}
}

// newTestReader is a policy in Rego that accepts everything, on an engine whose clock can be
// put forward.
func newTestReader(t *testing.T, config Config) (module *Module, forward func(time.Duration)) {
	t.Helper()
	now := time.Now()
	config.Now = func() time.Time { return now }
	engine, err := NewEngine(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	guest := wasmtest.NewRego("opa")
	// It says so whenever it is handed a document.
	guest.MallocCode = slices.Concat(wasmtest.I32Const(wasmtest.AddressBuiltins), wasmtest.Call(guest.PrintLine), wasmtest.I32Const(8000))
	module, err = engine.Compile(t.Context(), guest.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return module, func(by time.Duration) { now = now.Add(by) }
}

// The data is handed over once, and then only requests are.
func TestDataIsReadOnce(t *testing.T) {
	var log bytes.Buffer
	module, _ := newTestReader(t, Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ask(t, module, Call{Settings: large("a")}, 10)
	const data, requests = 2, 10 // the first call reads for itself, the second for all to come
	if handed := strings.Count(log.String(), "trace"); handed != data+requests {
		t.Errorf("the guest was handed %d documents, want %d", handed, data+requests)
	}
}

func TestWhichDataIsReadForManyRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		domain string
		ask    func(times int) []byte // settings of the next requests
		made   uint64
	}{
		"the same again":                  {ask: func(int) []byte { return large("a") }, made: 1},
		"another each time":               {ask: func(time int) []byte { return large(fmt.Sprint(time)) }, made: 0},
		"another every second time":       {ask: func(time int) []byte { return large(fmt.Sprint(time / 2)) }, made: 5},
		"little":                          {ask: func(int) []byte { return []byte(`{"mark":"a"}`) }, made: 0},
		"that of a policy of a namespace": {domain: "mine", ask: func(int) []byte { return large("a") }, made: 0},
	} {
		t.Run(name, func(t *testing.T) {
			module, _ := newTestReader(t, Config{})
			for time := range 10 {
				ask(t, module, Call{Domain: tc.domain, Settings: tc.ask(time)}, 1)
			}
			stats := module.engine.Stats()
			if stats.DatasetsMade != tc.made || stats.WithoutDataset != 0 {
				t.Errorf("got %+v, want %d datasets", stats, tc.made)
			}
		})
	}
}

// ends are how data goes, all of it but what is idle.
var ends = map[string]func(module *Module, forward func(time.Duration)) error{
	"after a while": func(module *Module, forward func(time.Duration)) error {
		forward(dataUnused - time.Second)
		module.engine.datasets.sweep()
		if stats := module.engine.Stats(); stats.Datasets != 1 {
			return fmt.Errorf("got %+v before it is time, want one dataset", stats)
		}
		forward(2 * time.Second)
		module.engine.datasets.sweep()
		return nil
	},
	"with its module": func(module *Module, _ func(time.Duration)) error { return module.Close(context.Background()) },
	"for guests that need memory": func(module *Module, _ func(time.Duration)) error {
		set := setOf(module)
		set.users.enter()
		for module.engine.reclaim() {
			continue
		}
		if setOf(module) != set {
			return errors.New("a dataset was given up that is in use")
		}
		set.users.leave()
		if !module.engine.reclaim() || module.engine.reclaim() {
			return errors.New("want that there is something to give up, once")
		}
		return nil
	},
	"after many others": func(module *Module, forward func(time.Duration)) error {
		for k := range mostLines {
			forward(time.Second)
			if _, err := module.Validate(context.Background(), Call{Settings: large(fmt.Sprint(k))}, []byte(`{}`)); err != nil {
				return err
			}
		}
		return nil
	},
}

// Data that nobody asks about any more is given back, with all of its memory.
func TestDataIsGivenBack(t *testing.T) {
	const page = 64 << 10
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 29, Guests: 1 << 29}, nil)
			module, forward := newTestReader(t, Config{Memory: budget})
			ask(t, module, Call{Settings: large("a")}, 3)
			if stats := module.engine.Stats(); stats.Datasets != 1 || stats.DatasetBytes != page {
				t.Fatalf("got %+v, want one dataset of a page", stats)
			}
			if err := end(module, forward); err != nil {
				t.Error(err)
			}
			for idle := module.engine.stock.oldest(); len(idle) > 0; idle = module.engine.stock.oldest() {
				module.engine.giveUp(idle)
			}
			stats := module.engine.Stats()
			if usage := budget.Usage(memory.Guests); usage.Held != 0 || stats.Datasets != 0 || stats.DatasetBytes != 0 {
				t.Errorf("%d bytes of guests are held, got %+v", usage.Held, stats)
			}
			if lines := len(module.engine.datasets.lines); lines > mostLines {
				t.Errorf("%d lines are kept, want %d at most", lines, mostLines)
			}
		})
	}
}

// So is that of a policy's own instances, while its module serves others.
func TestDataOfWarmInstancesIsGivenBack(t *testing.T) {
	module, _ := newTestReader(t, Config{WarmUp: 1})
	call := Call{Settings: large("a")}
	warm, err := module.Isolate(t.Context(), call, IsolationWarm)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, warm, call, 3)
	if stats := module.engine.Stats(); stats.Warm != 1 || stats.Datasets != 1 {
		t.Fatalf("got %+v, want one dataset of warm instances", stats)
	}
	if err := warm.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if stats := module.engine.Stats(); stats.Warm != 0 || stats.Datasets != 0 {
		t.Errorf("got %+v, want no dataset", stats)
	}
	ask(t, module, call, 1)
}

// setOf is the dataset of a module that has one.
func setOf(module *Module) *dataset {
	for _, line := range module.engine.datasets.lines {
		if line.set != nil {
			return line.set
		}
	}
	return nil
}

// Without room for a dataset, policies read their data for each request, and nothing is
// tried again for a while.
func TestDataWithoutRoomIsReadForEachRequest(t *testing.T) {
	const page = 64 << 10
	budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 29, Guests: guestsPart*page - 1}, nil)
	module, forward := newTestReader(t, Config{Memory: budget})
	for k := range 3 {
		ask(t, module, Call{Settings: large("a")}, 3)
		if stats := module.engine.Stats(); stats.WithoutDataset != 1 || stats.DatasetsMade != 0 || stats.DatasetBytes != 0 {
			t.Fatalf("turn %d: got %+v, want that it was tried once", k, stats)
		}
	}
	forward(dataRest)
	ask(t, module, Call{Settings: large("a")}, 3)
	if stats := module.engine.Stats(); stats.WithoutDataset != 2 {
		t.Errorf("got %+v after a while, want that it was tried once more", stats)
	}
}

// The image of data takes what others have that was not used for longest.
func TestDataMakesRoomForOtherData(t *testing.T) {
	const page = 64 << 10
	budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 29, Guests: 2 * guestsPart * page}, nil)
	module, forward := newTestReader(t, Config{Memory: budget})
	for _, mark := range []string{"a", "b", "c"} {
		ask(t, module, Call{Settings: large(mark)}, 2)
		forward(time.Second)
	}
	made := module.engine.Stats()
	if made.DatasetsMade != 3 || made.Datasets != 2 || made.WithoutDataset != 0 {
		t.Errorf("got %+v, want that two of three are left", made)
	}
	ask(t, module, Call{Settings: large("b")}, 2)
	ask(t, module, Call{Settings: large("c")}, 2)
	if stats := module.engine.Stats(); stats.DatasetsMade != 3 {
		t.Errorf("got %+v, want that the first went", stats)
	}
}

// Nobody waits for a dataset longer than for an answer.
func TestWaitingForDataEndsWithTheCall(t *testing.T) {
	module, _ := newTestReader(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ctx, _ = module.engine.runtime.Begin(ctx)
	cancel()
	if ready, err := newDataset(module.engine, data{}).ready(ctx); ready || !errors.Is(err, sandbox.ErrCanceled) {
		t.Errorf("got %v, %v; want %v", ready, err, sandbox.ErrCanceled)
	}
}
