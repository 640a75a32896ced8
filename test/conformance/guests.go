package conformance

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// Guest is a small program. One of Answers, Does, Calls, Runs, OPA and Gatekeeper is set.
type Guest struct {
	// As is the execution mode of one that Does one of the words of misdeeds, or Calls:
	// wapc, wasi, opa or gatekeeper.
	As string `yaml:"as"`
	// Calls is a function of the host that it calls before it accepts.
	Calls *Calls `yaml:"calls"`
	// Runs is what a WASI command does.
	Runs *Runs `yaml:"runs"`
	// Answers is what the guest answers every request with: a text as it is, anything else
	// as JSON.
	Answers any `yaml:"answers"`
	// Does is one of the words of guests.
	Does string `yaml:"does"`
	// Says is the text that goes with some of the words.
	Says string `yaml:"says"`
	// OPA and Gatekeeper are the rules of a policy in Rego, below the line "package policy".
	OPA        string `yaml:"opa"`
	Gatekeeper string `yaml:"gatekeeper"`
}

// Runs is what a command does when it is asked about a request.
type Runs struct {
	// Stdout and Stderr are what it writes, in parts.
	Stdout []string `yaml:"stdout"`
	Stderr []string `yaml:"stderr"`
	// Exit is the code that it exits with; nil returns.
	Exit *int32 `yaml:"exit"`
	// OverSettings says that it does the same when it is asked about its settings, which it
	// finds valid otherwise.
	OverSettings bool `yaml:"overSettings"`
}

// command is the binary.
func (r *Runs) command() []byte {
	c := wasmtest.NewCommand()
	var code []byte
	for _, text := range r.Stderr {
		code = append(code, c.Print(2, text)...)
	}
	for _, text := range r.Stdout {
		code = append(code, c.Print(1, text)...)
	}
	if r.Exit != nil {
		code = slices.Concat(code, wasmtest.I32Const(*r.Exit), wasmtest.Call(c.Exit))
	}
	if r.OverSettings {
		return c.Bytes(code)
	}
	return c.Bytes(c.Asked(code, c.Print(1, `{"valid":true}`)))
}

// absentModule is the word for a module that is not where it should be.
const absentModule = "is absent"

// guests are programs by what they do.
var guests = map[string]func(says string) []byte{
	absentModule:                     func(string) []byte { return nil },
	"is no module":                   func(says string) []byte { return []byte(says) },
	"accepts":                        func(string) []byte { return wasmtest.Accepting() },
	"loops":                          func(string) []byte { return wasmtest.Looping() },
	"recurses":                       func(string) []byte { return wasmtest.Recursing() },
	"traps":                          func(string) []byte { return wasmtest.Trapping() },
	"fails":                          wasmtest.Failing,
	"refuses settings":               wasmtest.RefusingSettings,
	"says nothing":                   func(string) []byte { return wasmtest.NewGuest().OnValidate(wasmtest.I32Const(1)).Bytes() },
	"fails in silence":               func(string) []byte { return wasmtest.NewGuest().OnValidate(wasmtest.I32Const(0)).Bytes() },
	"exits with code when it starts": exitingAtStart,
	"loops in": func(says string) []byte {
		return wasmtest.NewGuest().OnInit(says, wasmtest.Loop(wasmtest.Br(0))).Bytes()
	},
	"succeeds with an error": func(says string) []byte {
		g := wasmtest.NewGuest()
		return g.OnValidate(g.Text(says), wasmtest.Call(wasmtest.GuestError), wasmtest.I32Const(1)).Bytes()
	},
	"fails with an answer": func(says string) []byte {
		g := wasmtest.NewGuest()
		return g.OnValidate(g.Respond(says), wasmtest.Drop, wasmtest.I32Const(0)).Bytes()
	},
	"answers and has an error": func(says string) []byte {
		g := wasmtest.NewGuest()
		return g.OnValidate(g.Text(says), wasmtest.Call(wasmtest.GuestError), g.Respond(`{"accepted":true}`)).Bytes()
	},
	"answers with what the host says": func(says string) []byte {
		g := wasmtest.NewGuest()
		return g.OnValidate(hostCall(g, says), wasmtest.Drop, g.RespondHost()).Bytes()
	},
	"has data outside of its memory": func(string) []byte {
		g := wasmtest.NewGuest()
		g.Data(65_535, []byte("ab"))
		return g.Bytes()
	},
	"has no memory": func(string) []byte { return withSection(5, nil) },
	"has more memory than there is": func(string) []byte {
		return withSection(5, wasmtest.Vector(append([]byte{0}, wasmtest.U32(5000)...)))
	},
	"has more table than there is": func(string) []byte {
		return withSection(4, wasmtest.Vector(append([]byte{0x70, 0}, wasmtest.U32(100_000_000)...)))
	},
	"imports": func(says string) []byte {
		g := wasmtest.NewGuest()
		module, name, _ := strings.Cut(says, ".")
		g.Import(module, name, g.Type(nil, nil))
		return g.Bytes()
	},
	"traps in":                         func(says string) []byte { return wasmtest.NewGuest().OnInit(says, wasmtest.Unreachable).Bytes() },
	"traps in its start function":      func(string) []byte { return starting(wasmtest.Unreachable) },
	"loops in its start function":      func(string) []byte { return starting(wasmtest.Loop(wasmtest.Br(0))) },
	"loops over its settings":          func(string) []byte { return wasmtest.LoopingInSettings() },
	"loops over settings as a command": loopingCommand,
	"traps when it starts":             func(string) []byte { return wasmtest.NewGuest().OnInit("wapc_init", wasmtest.Unreachable).Bytes() },
	"fails over its settings":          failingSettings,
	"traps over its settings":          func(string) []byte { return wasmtest.NewGuest().OnValidateSettings(wasmtest.Unreachable).Bytes() },
	"is not annotated":                 func(string) []byte { return withMetadata("") },
	"is annotated with":                withMetadata,
	"answers with zeros":               answeringZeros,
	"fails with what the host says":    failingWithHost,
	tells:                              tellers["wapc"],
}

func (g *Guest) check() error {
	ways := 0
	for _, set := range []bool{g.Answers != nil, g.Does != "", g.Calls != nil, g.Runs != nil, g.OPA != "", g.Gatekeeper != ""} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("guest: want one of answers, does, calls, runs, opa and gatekeeper")
	}
	if _, knows := tellers[g.As]; g.Does == tells && g.As != "" && !knows {
		return fmt.Errorf("guest that %s is called as %q; known are %s", tells, g.As, strings.Join(slices.Sorted(maps.Keys(tellers)), ", "))
	}
	if g.Does != tells && (g.As != "" || g.Calls != nil) {
		return g.checkHostile()
	}
	if _, known := guests[g.Does]; g.Does != "" && !known {
		return fmt.Errorf("guest does %q; known are %s", g.Does, strings.Join(slices.Sorted(maps.Keys(guests)), ", "))
	}
	return nil
}

// Bytes is the program; nil for one that is absent.
func (g *Guest) Bytes(ctx context.Context) ([]byte, error) {
	switch {
	case g.As != "" && g.Does == tells:
		return tellers[g.As](g.Says), nil
	case g.As != "":
		return g.hostile(), nil
	case g.Runs != nil:
		return g.Runs.command(), nil
	case g.Does != "":
		return guests[g.Does](g.Says), nil
	case g.OPA != "":
		return compileRego(ctx, g.OPA, metadata.ModeOPA)
	case g.Gatekeeper != "":
		return compileRego(ctx, g.Gatekeeper, metadata.ModeGatekeeper)
	}
	if text, is := g.Answers.(string); is {
		return wasmtest.Answering(text), nil
	}
	answer, err := json.Marshal(g.Answers)
	if err != nil {
		return nil, fmt.Errorf("encode answer of guest: %w", err)
	}
	return wasmtest.Answering(string(answer)), nil
}

func compileRego(ctx context.Context, rules string, mode metadata.ExecutionMode) ([]byte, error) {
	module, err := build.CompileRego(ctx, fstest.MapFS{"policy.rego": {Data: []byte("package policy\n" + rules)}}, mode)
	if err != nil {
		return nil, fmt.Errorf("guest in Rego: %w", err)
	}
	return wasm.SetCustomSection(module, metadata.Section, fmt.Appendf(nil, `{"executionMode":%q,"rules":[],"mutating":false}`, mode))
}

func failingSettings(says string) []byte {
	g := wasmtest.NewGuest()
	return g.OnValidateSettings(g.Fail(says)).Bytes()
}

func withMetadata(metadata string) []byte {
	g := wasmtest.NewGuest()
	g.Metadata = metadata
	return g.Bytes()
}

// hostCall is code that calls the capability that a text names as "namespace operation
// payload"; a certificate in the payload is named as "<name>".
func hostCall(guest caller, says string) []byte {
	namespace, rest, _ := strings.Cut(says, " ")
	operation, payload, _ := strings.Cut(rest, " ")
	return guest.CallHost(namespace, operation, theImages().texts.Replace(certificates().Replace(payload)))
}

func failingWithHost(says string) []byte {
	g := wasmtest.NewGuest()
	return g.OnValidate(hostCall(g, says), wasmtest.IfI32(g.Respond(`{"accepted":true}`), wasmtest.Else, g.FailHost())).Bytes()
}

// tells is the word for a guest that denies, with what the host answers or why it does not.
const tells = "tells what the host says"

// tellers are guests that do so, by execution mode.
var tellers = map[string]func(says string) []byte{"wapc": tellingGuest, "wasi": tellingCommand}

func tellingGuest(says string) []byte {
	g := wasmtest.NewGuest()
	tell := slices.Concat(wasmtest.I32Const(wasmtest.AddressPayload), wasmtest.Call(wasmtest.HostResponse),
		wasmtest.I32Const(wasmtest.AddressPayload), wasmtest.Call(wasmtest.HostResponseLen), wasmtest.Call(wasmtest.GuestError), wasmtest.I32Const(0))
	return g.OnValidate(hostCall(g, says), wasmtest.IfI32(tell, wasmtest.Else, g.FailHost())).Bytes()
}

// tellingCommand finds what the host says behind the question, which it reads before.
func tellingCommand(says string) []byte {
	c := wasmtest.NewCommand()
	buffer := binary.LittleEndian.AppendUint32(nil, wasmtest.AddressBuffer)
	c.Data(wasmtest.AddressList, binary.LittleEndian.AppendUint32(buffer, wasmtest.BufferSize))
	read := slices.Concat(wasmtest.I32Const(0), wasmtest.I32Const(wasmtest.AddressList), wasmtest.I32Const(1),
		wasmtest.I32Const(wasmtest.AddressList+4), wasmtest.Call(c.Read), wasmtest.Drop)
	tell := slices.Concat(wasmtest.I32Const(2), wasmtest.I32Const(wasmtest.AddressList), wasmtest.I32Const(1),
		wasmtest.I32Const(wasmtest.AddressCount), wasmtest.Call(c.Write), wasmtest.Drop, wasmtest.I32Const(1), wasmtest.Call(c.Exit))
	return c.Bytes(c.Asked(slices.Concat(read, hostCall(c, says), wasmtest.Drop, read, tell), c.Print(1, `{"valid":true}`)))
}

// caller makes code that calls the host and leaves a number.
type caller interface {
	CallHost(namespace, operation, payload string) []byte
}

// starting has a start function with that code.
func starting(code []byte) []byte {
	g := wasmtest.NewGuest()
	g.Section(8, wasmtest.U32(g.Func(g.Type(nil, nil), code)))
	return g.Bytes()
}

// withSection has that body of a section in place of its own.
func withSection(id byte, body []byte) []byte {
	g := wasmtest.NewGuest()
	g.Section(id, body)
	return g.Bytes()
}

func loopingCommand(string) []byte {
	c := wasmtest.NewCommand()
	return c.Bytes(c.Asked(c.Print(1, `{"accepted":true}`), wasmtest.Loop(wasmtest.Br(0))))
}

// exitingAtStart exits in wapc_init with the code that a text names.
func exitingAtStart(says string) []byte {
	code, _ := strconv.ParseInt(says, 10, 32)
	g := wasmtest.NewGuest()
	exit := g.Import("wasi_snapshot_preview1", "proc_exit", g.Type([]byte{wasmtest.I32}, nil))
	return g.OnInit("wapc_init", wasmtest.I32Const(int32(code)), wasmtest.Call(exit)).Bytes()
}

// answeringZeros answers with that many zero bytes.
func answeringZeros(says string) []byte {
	bytes, _ := strconv.ParseInt(says, 10, 32)
	return wasmtest.NewGuest().OnValidate(
		wasmtest.I32Const(256), wasmtest.MemoryGrow, wasmtest.Drop,
		wasmtest.I32Const(0), wasmtest.I32Const(int32(bytes)), wasmtest.Call(wasmtest.GuestResponse), wasmtest.I32Const(1)).Bytes()
}
