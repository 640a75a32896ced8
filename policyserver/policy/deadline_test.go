package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// endless are guests that never come to an end, by what they do.
func endless() map[string][]byte {
	sleeping := wasmtest.NewGuest()
	poll := sleeping.Import("wasi_snapshot_preview1", "poll_oneoff", sleeping.Type(bytes.Repeat([]byte{wasmtest.I32}, 4), []byte{wasmtest.I32}))
	subscription := make([]byte, 48)
	copy(subscription[24:], []byte{0, 0, 0, 0, 0, 1}) // a good while, in nanoseconds
	sleeping.Data(100, subscription)
	sleeping.OnValidate(wasmtest.I32Const(100), wasmtest.I32Const(200), wasmtest.I32Const(1), wasmtest.I32Const(300), wasmtest.Call(poll))

	looping := func(g *wasmtest.Guest) []byte {
		return g.OnInit("wapc_init", wasmtest.Loop(wasmtest.Br(0))).Bytes()
	}
	starting := wasmtest.NewGuest()
	starting.Section(8, wasmtest.U32(starting.Func(starting.Type(nil, nil), wasmtest.Loop(wasmtest.Br(0)))))

	return map[string][]byte{
		"tight loop":                    wasmtest.Looping(),
		"exponential recursion":         wasmtest.Recursing(),
		"tail calls":                    wasmtest.TailCalling(),
		"filling a page":                wasmtest.FillingMemory(1),
		"filling 32 MiB":                wasmtest.FillingMemory(512),
		"copying 32 MiB":                wasmtest.CopyingMemory(512),
		"denied host calls":             wasmtest.CallingHost("oci", "v1/verify", "{}"),
		"host calls":                    wasmtest.CallingHost("kubernetes", "can_i", "{}"),
		"a host call that takes long":   wasmtest.CallingHost("kubernetes", "get_resource", "{}"),
		"logging":                       wasmtest.CallingHost("tracing", "log", `{"level":"info","message":"again"}`),
		"sleeping":                      sleeping.Bytes(),
		"looping while it initialises":  looping(wasmtest.NewGuest()),
		"looping in its start function": starting.Bytes(),
	}
}

// Whatever a guest does, its call ends soon after the deadline.
func TestDeadline(t *testing.T) {
	const deadline = 50 * time.Millisecond
	// How late a call may end: about 1 ms on an idle machine. The bound leaves room for one
	// that is busy with ten other things; what it tells apart is late from never.
	const late = 10 * time.Second

	// Those that do not come to an end while they are loaded need not take the usual time for it.
	engine := newEngine(t, policy.Config{LoadTimeout: time.Second, Capabilities: map[string]host.Capability{"kubernetes": slow{}}})
	granted, err := host.NewGrants([]string{"kubernetes/*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	call := policy.Call{PolicyID: "kw.cap.mine", Capabilities: granted}
	for name, binary := range endless() {
		module := compile(t, engine, binary)
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			_, err := module.Validate(ctx, call, json.RawMessage(`{}`))
			end, _ := ctx.Deadline()
			after := time.Since(end)
			checkError(t, err, &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
			if after < 0 || after > late {
				t.Errorf("ended %v after its deadline, want 0 to %v", after, late)
			}
			t.Logf("ended %v after its deadline", after)
		})
		t.Run(name+", canceled", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(deadline, cancel)
			defer timer.Stop()
			begin := time.Now()
			_, err := module.Validate(ctx, call, json.RawMessage(`{}`))
			took := time.Since(begin)
			checkError(t, err, &wantError{policy.KindUnavailable, "policy execution was canceled"})
			if took > deadline+late {
				t.Errorf("took %v, want at most %v", took, deadline+late)
			}
		})
	}
}

// BenchmarkDeadline is how late calls of guests end that never come to an end by themselves:
// on average, and the latest one.
func BenchmarkDeadline(b *testing.B) {
	const deadline = 5 * time.Millisecond
	engine := newEngine(b, policy.Config{LoadTimeout: time.Second, Capabilities: map[string]host.Capability{"kubernetes": slow{}}})
	granted, err := host.NewGrants([]string{"kubernetes/*"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	guests := endless()
	for _, name := range slices.Sorted(maps.Keys(guests)) {
		module := compile(b, engine, guests[name])
		b.Run(name, func(b *testing.B) {
			var late, latest time.Duration
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), deadline)
				_, err := module.Validate(ctx, policy.Call{PolicyID: "kw.cap.bench", Capabilities: granted}, json.RawMessage(`{}`))
				end, _ := ctx.Deadline()
				after := time.Since(end)
				cancel()
				checkError(b, err, &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
				late += after
				latest = max(latest, after)
			}
			b.ReportMetric(float64(late.Microseconds())/float64(b.N), "late-us/op")
			b.ReportMetric(float64(latest.Microseconds()), "latest-us")
		})
	}
}

// slow answers can_i at once and get_resource when the context is done.
type slow struct{}

func (slow) Call(ctx context.Context, request host.Request) ([]byte, error) {
	if request.Operation == "get_resource" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []byte("{}"), nil
}

// A deadline that has passed is found before a guest is even made.
func TestDeadlineInThePast(t *testing.T) {
	module := compile(t, newEngine(t, policy.Config{}), wasmtest.Accepting())
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := module.Validate(ctx, policy.Call{}, json.RawMessage(`{}`))
	checkError(t, err, &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
}

// While one guest runs away, others answer and the collector runs: compiled code that is
// never left would stop both.
func TestRunawayGuestDisturbsNobody(t *testing.T) {
	engine := newEngine(t, policy.Config{})
	looping, accepting := compile(t, engine, wasmtest.Looping()), compile(t, engine, wasmtest.Accepting())
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			_, err := looping.Validate(ctx, policy.Call{}, json.RawMessage(`{}`))
			checkError(t, err, &wantError{policy.KindUnavailable, "policy execution was canceled"})
		})
	}
	for range 50 {
		if _, err := accepting.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`)); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wait.Wait()
}
