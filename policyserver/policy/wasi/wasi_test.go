package wasi_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	reference "github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// The interface is complete: every function that wazero's own WASI has, with the same
// signature, so that a guest of any compiler finds what it imports.
func TestModuleIsComplete(t *testing.T) {
	runtime := wazero.NewRuntime(t.Context())
	defer runtime.Close(t.Context())
	compiled, err := reference.NewBuilder(runtime).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type signature struct{ Params, Results []api.ValueType }
	want, got := map[string]signature{}, map[string]signature{}
	for name, function := range compiled.ExportedFunctions() {
		want[name] = signature{function.ParamTypes(), function.ResultTypes()}
	}
	for _, function := range wasi.Module().Functions {
		got[function.Name] = signature{slices.Clip(function.Params), function.Results}
	}
	for _, functions := range []map[string]signature{want, got} {
		for name, s := range functions { // no difference between none and empty
			functions[name] = signature{append([]api.ValueType{}, s.Params...), append([]api.ValueType{}, s.Results...)}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// guest calls functions of WASI one by one and reads its memory.
type guest struct {
	instance *sandbox.Instance
	call     *sandbox.Call
	ctx      context.Context //nolint:containedctx // it carries the call that the guest is in
}

// now is where the clock of these tests stands.
var now = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// newGuest is a guest whose exported functions call those of WASI with their parameters.
// Its memory is a page; data lies at address 1000.
func newGuest(ctx context.Context, t *testing.T, clock func() time.Time, data []byte) *guest {
	t.Helper()
	runtime, err := sandbox.New(t.Context(), sandbox.Config{
		MemoryLimitPages: 16, Modules: []sandbox.HostModule{wasi.Module()}, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	m := New()
	functions := wasi.Module().Functions
	for _, function := range functions {
		m.Import(wasi.ModuleName, function.Name, m.Type(function.Params, function.Results))
	}
	m.Memory(1)
	m.Data(1000, data)
	for i, function := range functions {
		code := make([]byte, 0, 2*len(function.Params))
		for k := range function.Params {
			code = append(code, LocalGet(uint32(k))...)
		}
		m.Export(function.Name, KindFunction, m.Func(m.Type(function.Params, function.Results), code, Call(uint32(i))))
	}
	m.Export("load", KindFunction, m.Func(m.Type([]byte{I32}, []byte{I32}), LocalGet(0), I32Load8))
	program, err := runtime.Compile(t.Context(), m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	ctx, call := runtime.Begin(ctx)
	instance, err := program.Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &guest{instance: instance, ctx: ctx, call: call}
}

func standing() time.Time { return now }

func (g *guest) invoke(t *testing.T, function string, args ...uint64) (errno uint64) {
	t.Helper()
	results, err := g.instance.Invoke(g.ctx, function, args...)
	if err != nil {
		t.Fatalf("%s: %v", function, err)
	}
	return results[0]
}

func (g *guest) load(t *testing.T, address, n uint64) []byte {
	t.Helper()
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(g.invoke(t, "load", address+uint64(i)))
	}
	return out
}

const (
	success = 0
	badFD   = 8
	fault   = 21
	invalid = 28
	noSys   = 52
	notSup  = 58
	noSeek  = 70

	outside = 70_000 // an address behind the page
)

func TestErrnos(t *testing.T) {
	tests := []struct {
		name     string
		function string
		args     []uint64
		want     uint64
	}{
		{"no arguments", "args_get", []uint64{0, 0}, success},
		{"no environment", "environ_get", []uint64{0, 0}, success},
		{"sizes outside of memory", "args_sizes_get", []uint64{0, outside}, fault},
		{"closing a stream", "fd_close", []uint64{1}, success},
		{"closing what is not open", "fd_close", []uint64{3}, badFD},
		{"renumbering", "fd_renumber", []uint64{0, 2}, success},
		{"setting flags", "fd_fdstat_set_flags", []uint64{0, 4}, success},
		{"status outside of memory", "fd_fdstat_get", []uint64{0, outside}, fault},
		{"seeking", "fd_seek", []uint64{0, 0, 0, 100}, noSeek},
		{"telling", "fd_tell", []uint64{1, 100}, noSeek},
		{"allocating", "fd_allocate", []uint64{1, 0, 10}, notSup},
		{"preopened directories", "fd_prestat_get", []uint64{3, 100}, badFD},
		{"opening", "path_open", []uint64{3, 0, 0, 0, 0, 0, 0, 0, 100}, badFD},
		{"a socket", "sock_accept", []uint64{0, 0, 100}, badFD},
		{"raising a signal", "proc_raise", []uint64{6}, noSys},
		{"yielding", "sched_yield", nil, success},
		{"reading what is written to", "fd_read", []uint64{1, 1000, 1, 100}, badFD},
		{"writing what is read from", "fd_write", []uint64{0, 1000, 1, 100}, badFD},
		{"writing too many buffers", "fd_write", []uint64{1, 1000, 5000, 100}, invalid},
		{"a list of buffers outside of memory", "fd_write", []uint64{1, outside, 1, 100}, fault},
		{"a buffer outside of memory", "fd_write", []uint64{1, 1008, 1, 100}, fault},
		{"a count outside of memory", "fd_write", []uint64{1, 1000, 1, outside}, fault},
		{"randomness outside of memory", "random_get", []uint64{outside, 1}, fault},
		{"randomness beyond 32 bits", "random_get", []uint64{0xffff_ffff, 0xffff_ffff}, fault},
		{"a clock that does not exist", "clock_time_get", []uint64{9, 0, 100}, notSup},
		{"a resolution that does not exist", "clock_res_get", []uint64{9, 100}, notSup},
		{"waiting for nothing", "poll_oneoff", []uint64{1000, 100, 0, 200}, invalid},
		{"waiting for too much", "poll_oneoff", []uint64{1000, 100, 5000, 200}, invalid},
		{"waiting outside of memory", "poll_oneoff", []uint64{outside, 100, 1, 200}, fault},
	}
	data := make([]byte, 16)
	binary.LittleEndian.PutUint32(data[8:], outside) // a buffer at 1008
	binary.LittleEndian.PutUint32(data[12:], 1)
	g := newGuest(t.Context(), t, standing, data)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := g.invoke(t, tc.function, tc.args...); got != tc.want {
				t.Errorf("got errno %d, want %d", got, tc.want)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	g := newGuest(t.Context(), t, standing, nil)
	g.call.Args = []string{"policy.wasm", "validate"}
	if got := g.invoke(t, "args_sizes_get", 100, 104); got != success {
		t.Fatalf("sizes: got errno %d", got)
	}
	if diff := cmp.Diff([]byte{2, 0, 0, 0, 21, 0, 0, 0}, g.load(t, 100, 8)); diff != "" {
		t.Errorf("sizes: -want +got\n%s", diff)
	}
	if got := g.invoke(t, "args_get", 200, 0x300); got != success {
		t.Fatalf("arguments: got errno %d", got)
	}
	if diff := cmp.Diff([]byte{0, 3, 0, 0, 12, 3, 0, 0}, g.load(t, 200, 8)); diff != "" {
		t.Errorf("list: -want +got\n%s", diff)
	}
	if got, want := string(g.load(t, 0x300, 21)), "policy.wasm\x00validate\x00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, args := range [][]uint64{{outside, 100}, {100, outside}} {
		if got := g.invoke(t, "args_get", args...); got != fault {
			t.Errorf("arguments to %v: got errno %d, want %d", args, got, fault)
		}
	}
}

func TestStreams(t *testing.T) {
	// Two buffers: "ab" at 1016 and "cde" at 1018.
	data := []byte{0xf8, 0x03, 0, 0, 2, 0, 0, 0, 0xfa, 0x03, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c', 'd', 'e'}
	g := newGuest(t.Context(), t, standing, data)
	for _, fd := range []uint64{1, 2, 2} {
		if errno := g.invoke(t, "fd_write", fd, 1000, 2, 100); errno != success {
			t.Fatalf("write: errno %d", errno)
		}
	}
	if got := g.load(t, 100, 4); !slices.Equal(got, []byte{5, 0, 0, 0}) {
		t.Errorf("written: got %v, want 5", got)
	}
	if got, want := g.call.Stdout.String()+"|"+g.call.Stderr.String(), "abcde|abcdeabcde"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	g.call.Stdin = []byte("123456789")
	for _, want := range []string{"12345", "67895", "67895"} { // the last byte is what was there
		if errno := g.invoke(t, "fd_read", 0, 1000, 2, 100); errno != success {
			t.Fatalf("read: errno %d", errno)
		}
		if got := string(g.load(t, 1016, 5)); got != want {
			t.Errorf("read %q, want %q", got, want)
		}
	}
	if got := g.load(t, 100, 4); !slices.Equal(got, []byte{0, 0, 0, 0}) {
		t.Errorf("read at the end: got %v, want 0", got)
	}
}

func TestStreamsKeepTheBeginning(t *testing.T) {
	data := []byte{0, 0, 0, 0, 0, 0xff, 0, 0} // one buffer of 65280 bytes
	g := newGuest(t.Context(), t, standing, data)
	for range 3 {
		g.invoke(t, "fd_write", 1, 1000, 1, 100)
	}
	if got, want := len(g.call.Stdout.String()), 64<<10; got != want {
		t.Errorf("kept %d bytes, want %d", got, want)
	}
}

func TestStatus(t *testing.T) {
	g := newGuest(t.Context(), t, standing, nil)
	g.invoke(t, "fd_fdstat_get", 0, 100)
	if diff := cmp.Diff([]byte{2, 0, 0, 0, 0, 0, 0, 0, 2, 0}, g.load(t, 100, 10)); diff != "" {
		t.Errorf("standard input: -want +got\n%s", diff)
	}
	g.invoke(t, "fd_fdstat_get", 1, 100)
	if diff := cmp.Diff([]byte{2, 0, 0, 0, 0, 0, 0, 0, 64, 0}, g.load(t, 100, 10)); diff != "" {
		t.Errorf("standard output: -want +got\n%s", diff)
	}
	g.invoke(t, "fd_filestat_get", 2, 100)
	if got := g.load(t, 116, 1)[0]; got != 2 {
		t.Errorf("file type: got %d, want 2", got)
	}
}

func TestClocksAndRandomness(t *testing.T) {
	g := newGuest(t.Context(), t, standing, nil)
	for clock := range uint64(2) {
		g.invoke(t, "clock_time_get", clock, 0, 104)
		if got, want := binary.LittleEndian.Uint64(g.load(t, 104, 8)), uint64(now.UnixNano()); got != want {
			t.Errorf("clock %d: got %d, want %d", clock, got, want)
		}
	}
	g.invoke(t, "random_get", 200, 32)
	first := g.load(t, 200, 32)
	g.invoke(t, "random_get", 200, 32)
	if slices.Equal(first, g.load(t, 200, 32)) {
		t.Error("got the same randomness twice")
	}
}

// Tags of subscriptions.
const (
	clock   = 0
	reading = 1
	writing = 2
)

// subscription is one entry of poll_oneoff.
type subscription struct {
	userData uint64
	tag      byte
	subject  uint32
	timeout  time.Duration
	absolute uint16 // 1 when the timeout is a time
}

func encode(subscriptions ...subscription) []byte {
	out := make([]byte, 48*len(subscriptions))
	for i, s := range subscriptions {
		entry := out[48*i:]
		binary.LittleEndian.PutUint64(entry, s.userData)
		entry[8] = s.tag
		binary.LittleEndian.PutUint32(entry[16:], s.subject)
		binary.LittleEndian.PutUint64(entry[24:], uint64(s.timeout))
		binary.LittleEndian.PutUint16(entry[40:], s.absolute)
	}
	return out
}

// event is one entry of its answer.
type event struct {
	UserData uint64
	Errno    uint16
	Tag      byte
}

func TestPoll(t *testing.T) {
	tests := map[string]struct {
		subscriptions []subscription
		want          []event
	}{
		"a short sleep": {
			[]subscription{{7, clock, 1, time.Millisecond, 0}},
			[]event{{7, 0, clock}},
		},
		"the shorter of two sleeps": {
			[]subscription{{7, clock, 1, time.Hour, 0}, {8, clock, 0, time.Millisecond, 0}},
			[]event{{8, 0, clock}},
		},
		"a time in the past": {
			[]subscription{{7, clock, 0, time.Duration(now.UnixNano()) - time.Hour, 1}},
			[]event{{7, 0, clock}},
		},
		"streams are ready before a clock": {
			[]subscription{{7, clock, 1, time.Hour, 0}, {8, reading, 0, 0, 0}, {9, writing, 2, 0, 0}},
			[]event{{8, 0, reading}, {9, 0, writing}},
		},
		"what is not there fails at once": {
			[]subscription{{7, reading, 5, 0, 0}, {8, clock, 5, 0, 0}, {9, 9, 0, 0, 0}},
			[]event{{7, badFD, reading}, {8, notSup, clock}, {9, invalid, 9}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t.Context(), t, standing, encode(tc.subscriptions...))
			if errno := g.invoke(t, "poll_oneoff", 1000, 200, uint64(len(tc.subscriptions)), 104); errno != success {
				t.Fatalf("errno %d", errno)
			}
			n := uint64(binary.LittleEndian.Uint32(g.load(t, 104, 4)))
			got := make([]event, 0, n)
			for i := range n {
				raw := g.load(t, 200+i*32, 32)
				got = append(got, event{binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint16(raw[8:]), raw[10]})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A guest that sleeps is woken by its deadline and by whoever cancels the call.
func TestPollEndsWithTheCall(t *testing.T) {
	long := encode(subscription{userData: 7, tag: clock, subject: 1, timeout: time.Hour})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		g := newGuest(ctx, t, time.Now, long)
		if _, err := g.instance.Invoke(g.ctx, "poll_oneoff", 1000, 200, 1, 104); !errors.Is(err, sandbox.ErrDeadline) {
			t.Errorf("got %v, want %v", err, sandbox.ErrDeadline)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGuest(ctx, t, time.Now, long)
		cancel()
		if _, err := g.instance.Invoke(g.ctx, "poll_oneoff", 1000, 200, 1, 104); !errors.Is(err, sandbox.ErrCanceled) {
			t.Errorf("got %v, want %v", err, sandbox.ErrCanceled)
		}
	})
}

func TestExit(t *testing.T) {
	g := newGuest(t.Context(), t, standing, nil)
	for _, code := range []uint64{3, 0} {
		_, err := g.instance.Invoke(g.ctx, "proc_exit", code)
		var exit *sandbox.ExitError
		if !errors.As(err, &exit) || uint64(exit.Code) != code {
			t.Errorf("got %v, want exit %d", err, code)
		}
	}
	if errno := g.invoke(t, "sched_yield"); errno != success {
		t.Errorf("after an exit the instance must go on: errno %d", errno)
	}
}
