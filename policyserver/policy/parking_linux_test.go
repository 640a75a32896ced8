package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// reading is code that reads once into the buffer.
func reading(c *Command) []byte {
	return slices.Concat(I32Const(0), I32Const(AddressList), I32Const(1), I32Const(AddressList+4), Call(c.Read), Drop)
}

// commands end in every way there is. The second page of memory does not exist at first.
func commands() map[string][]byte {
	count := func(c *Command, code ...[]byte) []byte {
		global := c.Global(0)
		return slices.Concat(
			I32Const(1), MemoryGrow, Drop, increment(leakGrown),
			GlobalGet(global), I32Const(1), I32Add, GlobalSet(global), increment(leakZero),
			// The sum of what was counted is 1+1+2+1.
			loadByte(leakGrown), GlobalGet(global), I32Add, MemorySize, I32Add, loadByte(leakZero), I32Add,
			I32Const(5), I32Ne, If(I32Const(9), Call(c.Exit)),
			slices.Concat(code...))
	}
	return map[string][]byte{
		"returning":        commandOf(func(c *Command) []byte { return slices.Concat(c.Echo(), count(c)) }),
		"exiting":          commandOf(func(c *Command) []byte { return slices.Concat(c.Echo(), count(c), I32Const(0), Call(c.Exit)) }),
		"exiting with one": commandOf(func(c *Command) []byte { return slices.Concat(c.Echo(), count(c), I32Const(1), Call(c.Exit)) }),
		"trapping":         commandOf(func(c *Command) []byte { return slices.Concat(c.Echo(), count(c), Unreachable) }),
		"looping":          commandOf(func(c *Command) []byte { return slices.Concat(c.Echo(), count(c), Loop(Br(0))) }),
		"reading on": commandOf(func(c *Command) []byte {
			return slices.Concat(c.Echo(), count(c), reading(c), reading(c))
		}),
		"counting before it reads": commandOf(func(c *Command) []byte {
			return slices.Concat(increment(leakZero), c.Echo(), loadByte(leakZero), I32Const(1), I32Ne, If(I32Const(9), Call(c.Exit)))
		}),
		"complaining before it reads": commandOf(func(c *Command) []byte {
			return slices.Concat(c.Print(2, "so much to do"), c.Echo(), count(c), I32Const(1), Call(c.Exit))
		}),
		"answering before it reads": commandOf(func(c *Command) []byte {
			return slices.Concat(c.Print(1, `{"accepted":true`), reading(c), c.Print(1, `}`))
		}),
		"never reading":            commandOf(func(c *Command) []byte { return c.Print(1, `{"accepted":true}`) }),
		"exiting before it reads":  commandOf(func(c *Command) []byte { return slices.Concat(I32Const(3), Call(c.Exit)) }),
		"trapping before it reads": commandOf(func(c *Command) []byte { return slices.Concat(Unreachable, c.Echo()) }),
		"asking before it reads":   commandOf(func(c *Command) []byte { return slices.Concat(c.CallHost("kubernetes", "can_i", "{}"), Drop, c.Echo()) }),
		"asking after it has read": commandOf(func(c *Command) []byte {
			return slices.Concat(reading(c), echoAfter(c, c.CallHost("kubernetes", "can_i", "{}")))
		}),
		"asked about both": commandOf(func(c *Command) []byte {
			return c.Asked(slices.Concat(reading(c), c.Print(1, `{"accepted":true}`)), c.Print(1, `{"valid":true}`))
		}),
		"changing a table": changingTable(),
		"with a wrong list to read": commandOf(func(c *Command) []byte {
			return slices.Concat(I32Const(0), I32Const(-4), I32Const(1), I32Const(0), Call(c.Read), Drop, c.Print(1, `{"accepted":true}`))
		}),
	}
}

func changingTable() []byte {
	return commandOf(func(c *Command) []byte {
		c.Table(8, 0)
		return slices.Concat(c.Echo(), I32Const(1), tableGet, refIsNull, If(I32Const(1), I32Const(0), tableGet, tableSet, I32Const(0), Call(c.Exit)), I32Const(9), Call(c.Exit))
	})
}

// answers are what a module answers to several questions, some of them one after the other.
func answers(t *testing.T, isolation policy.Isolation, binary []byte) []string {
	t.Helper()
	engine := newEngine(t, policy.Config{
		MemoryLimitPages: 16, Isolation: isolation, Capabilities: map[string]host.Capability{"kubernetes": verdict{}},
	})
	module := compile(t, engine, binary)
	granted, err := host.NewGrants([]string{"kubernetes/can_i"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const calls = 6
	all := make([]string, 0, calls)
	for number := range calls {
		call := policy.Call{PolicyID: fmt.Sprint("policy-", number%2), Domain: fmt.Sprint(number % 3 / 2), Capabilities: granted}
		request := json.RawMessage(fmt.Sprintf(`{"n":%q}`, strings.Repeat("x", 100*number)))
		response, err := module.Validate(t.Context(), call, request)
		settings, settingsErr := module.ValidateSettings(t.Context(), call)
		encoded, _ := json.Marshal([]any{response, settings})
		all = append(all, fmt.Sprint(string(encoded), err, settingsErr))
	}
	return all
}

// A command that waits for its request answers as one that is run for it.
func TestParkedCommandsAnswerLikeOthers(t *testing.T) {
	for name, binary := range commands() {
		if name == "looping" {
			continue // see TestParkedCommandHasADeadline
		}
		t.Run(name, func(t *testing.T) {
			want := answers(t, policy.IsolationFresh, binary)
			if diff := cmp.Diff(want, answers(t, policy.IsolationPristine, binary)); diff != "" {
				t.Errorf("-fresh +pristine\n%s", diff)
			}
		})
	}
}

// A command that loops is ended for each call anew.
func TestParkedCommandHasADeadline(t *testing.T) {
	module := compile(t, newEngine(t, policy.Config{Isolation: policy.IsolationPristine}), commands()["looping"])
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := module.Validate(ctx, policy.Call{}, json.RawMessage(`{}`))
		cancel()
		checkError(t, err, &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
	}
}

// Whoever needs the room closes commands that stand still, on whatever thread that is.
func TestParkedCommandsMakeRoom(t *testing.T) {
	engine := newEngine(t, policy.Config{MaxIdle: 1})
	command, other := compile(t, engine, commands()["answering before it reads"]), compile(t, engine, Accepting())
	for range 3 {
		for _, module := range []*policy.Module{command, other} {
			response, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
			if err != nil || !response.Accepted {
				t.Fatalf("got %+v, %v", response, err)
			}
			if idle := engine.Stats().Idle; idle != 1 {
				t.Fatalf("%d instances are idle, want 1", idle)
			}
		}
	}
}
