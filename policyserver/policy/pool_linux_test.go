package policy

import (
	"context"
	"fmt"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

func newTestPool(t *testing.T) (*pool, func(domain string) *sandbox.Instance) {
	t.Helper()
	return newTestPoolOf(t, Config{Isolation: IsolationPristine})
}

func newTestPoolOf(t *testing.T, config Config) (*pool, func(domain string) *sandbox.Instance) {
	t.Helper()
	engine, err := NewEngine(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close(t.Context()) })
	module, err := engine.Compile(t.Context(), wasmtest.Accepting())
	if err != nil {
		t.Fatal(err)
	}
	instances, is := module.instances.(*pool)
	if !is {
		t.Fatalf("instances are handed out by %T", module.instances)
	}
	ctx, _ := engine.runtime.Begin(t.Context())
	return instances, func(domain string) *sandbox.Instance {
		t.Helper()
		instance, err := instances.take(ctx, domain, nil)
		if err != nil {
			t.Fatal(err)
		}
		return instance
	}
}

// callContext is that of a call.
func callContext(t *testing.T, of *pool) context.Context {
	t.Helper()
	ctx, _ := of.engine.runtime.Begin(t.Context())
	return ctx
}

func TestPoolKeepsDomainsApart(t *testing.T) {
	pool, take := newTestPool(t)
	first := take("a")
	if err := pool.give(callContext(t, pool), "a", first, nil); err != nil {
		t.Fatal(err)
	}
	if take("b") == first {
		t.Error("an instance of domain a was handed out to b")
	}
	if take("") == first {
		t.Error("an instance of domain a was handed out to the cluster's")
	}
	if take("a") != first {
		t.Error("the idle instance was not used again")
	}
	if take("a") == first {
		t.Error("an instance was handed out twice")
	}
}

func TestPoolKeepsOnlyWhatHasAnswered(t *testing.T) {
	pool, take := newTestPool(t)
	for name, tc := range map[string]struct {
		failed error
		kept   bool
	}{
		"an answer":             {nil, true},
		"an error":              {&wapc.Error{Text: "no"}, true},
		"an answer of no use":   {&answerError{sandbox.ErrDeadline}, true},
		"a trap":                {&sandbox.TrapError{Reason: "unreachable"}, false},
		"a deadline":            {sandbox.ErrDeadline, false},
		"a call given up":       {sandbox.ErrCanceled, false},
		"a violation":           {sandbox.Violationf("no"), false},
		"a failure of ours":     {&sandbox.HostError{Err: sandbox.ErrDeadline}, false},
		"an end of the guest's": {&sandbox.ExitError{Code: 0}, false},
	} {
		instance := take(name)
		if err := pool.give(callContext(t, pool), name, instance, tc.failed); err != nil {
			t.Fatal(err)
		}
		if kept := take(name) == instance; kept != tc.kept {
			t.Errorf("%s: kept: %v, want %v", name, kept, tc.kept)
		}
	}
}

// An instance that was not needed between two sweeps is given up, others stay.
func TestPoolSweeps(t *testing.T) {
	pool, take := newTestPool(t)
	first, second := take("a"), take("a")
	for _, instance := range []*sandbox.Instance{first, second} {
		if err := pool.give(callContext(t, pool), "a", instance, nil); err != nil {
			t.Fatal(err)
		}
	}
	pool.engine.stock.sweep() // they have just come
	if n := len(pool.shelves["a"].idle); n != 2 {
		t.Fatalf("%d instances are left, want 2", n)
	}
	if err := pool.give(callContext(t, pool), "a", take("a"), nil); err != nil {
		t.Fatal(err)
	}
	pool.engine.stock.sweep()
	if idle := pool.shelves["a"].idle; len(idle) != 1 || idle[0].instance != second {
		t.Fatalf("%d instances are left, want the one that was used", len(idle))
	}
	pool.engine.stock.sweep()
	if len(pool.shelves) != 0 || pool.engine.stock.sweeper != nil {
		t.Error("an instance that nobody needs is left")
	}
}

func idleOf(pool *pool, domain string) (instances []*sandbox.Instance) {
	for _, one := range pool.shelves[domain].idle {
		instances = append(instances, one.instance)
	}
	return instances
}

// Commands wait for a request only where a later call cannot tell.
func TestWhoIsParked(t *testing.T) {
	command := wasmtest.NewCommand()
	plain := command.Bytes(command.Echo())
	asking := wasmtest.NewCommand()
	ask := asking.Bytes(asking.CallHost("kubernetes", "can_i", "{}"), wasmtest.Drop, asking.Echo())
	silent := wasmtest.NewCommand()
	engine, err := NewEngine(t.Context(), Config{Isolation: IsolationPristine})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		binary []byte
		want   bool
	}{
		"reading":                {plain, true},
		"asking before it reads": {ask, false},
		"never reading":          {silent.Bytes(), false},
	} {
		module, err := engine.Compile(t.Context(), tc.binary)
		if err != nil {
			t.Fatal(err)
		}
		pool, parked := module.instances.(*pool)
		if parked != tc.want {
			t.Errorf("%s: parked: %v, want %v", name, parked, tc.want)
		}
		if !parked {
			continue
		}
		const calls = 5
		used := make([]*sandbox.Instance, 0, calls)
		for range calls {
			if _, err := module.Validate(t.Context(), Call{Settings: []byte(`{}`)}, []byte(`{}`)); err == nil {
				t.Error("an echo is no answer, and no error came back")
			}
			used = append(used, idleOf(pool, "")...)
		}
		if len(used) != calls || used[0] != used[calls-1] || !used[0].Parked() {
			t.Errorf("%s: %d instances were used for %d calls, want the same each time", name, len(used), calls)
		}
	}
	if err := engine.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if len(engine.stock.pools) != 0 {
		t.Error("the engine is closed and a pool is not")
	}
}

// However many domains there are, no more instances are idle than the engine may have, and
// those go that were not used for the longest time.
func TestIdleInstancesAreBoundedOverAllDomains(t *testing.T) {
	const most = 16
	pool, take := newTestPoolOf(t, Config{MaxIdle: most})
	give := func(domain string) {
		t.Helper()
		if err := pool.give(callContext(t, pool), domain, take(domain), nil); err != nil {
			t.Fatal(err)
		}
	}
	for k := range 4 * most {
		give(fmt.Sprint("tenant-", k))
		give("busy")
		if stats := pool.engine.Stats(); stats.Idle > most {
			t.Fatalf("%d instances are idle, want at most %d", stats.Idle, most)
		}
	}
	stats := pool.engine.Stats()
	if want := uint64(4*most + 1); stats.Made != want {
		t.Errorf("%d instances were made, want %d: one for each domain", stats.Made, want)
	}
	if stats.Idle < most/2 || stats.Restores != 8*most || stats.Failed != 0 || stats.Fresh != 0 {
		t.Errorf("got %+v", stats)
	}
}

// Idle instances are counted with the pages they have of their own, and go when a guest
// needs the memory; the guest does not notice.
func TestIdleInstancesMakeRoomForGuests(t *testing.T) {
	const page, pages = 64 << 10, 40
	budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 30, Guests: pages * page}, nil)
	pool, take := newTestPoolOf(t, Config{Memory: budget})
	var domains []string
	for k := 0; budget.Usage(memory.Guests).Held+page < pages*page && k < 500; k++ {
		domains = append(domains, fmt.Sprint("tenant-", k))
		instance := take(domains[k])
		if err := instance.Write(0, make([]byte, page)); err != nil { // a guest that writes
			t.Fatal(err)
		}
		if err := pool.give(callContext(t, pool), domains[k], instance, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(domains) < pages/2 || len(domains) > pages {
		t.Fatalf("%d idle instances fill the memory of %d guests", len(domains), pages)
	}
	idle := pool.engine.Stats().Idle
	take("another")
	take("and another")
	stats := pool.engine.Stats()
	if stats.Idle >= idle || stats.Reclaimed == 0 || stats.Pages == 0 {
		t.Errorf("%d were idle before, got %+v", idle, stats)
	}
	if usage := budget.Usage(memory.Guests); usage.Refused != 0 || usage.Held > usage.Allowed {
		t.Errorf("got %+v, want nothing refused", usage)
	}
	pool.engine.giveUp(pool.engine.stock.remove(pool))
	if usage := budget.Usage(memory.Guests); usage.Held != 2*page {
		t.Errorf("%d bytes are held by the two that run, want %d", usage.Held, 2*page)
	}
}
