package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// Calls is a call of an imported function.
type Calls struct {
	// Function is the module's name and the function's with a dot between them.
	Function string `yaml:"function"`
	// With are its parameters: numbers, and texts that the guest puts into its memory, which
	// stand for two parameters, address and length.
	With []any `yaml:"with"`
	// Returns is the result without which the guest traps; any is right when it is nil.
	Returns *int32 `yaml:"returns"`
	// Forever calls again and again.
	Forever bool `yaml:"forever"`
}

// hostModules are all that a guest can import.
func hostModules() []sandbox.HostModule {
	return append(wasi.HostModules(), wasi.Module(), wapc.Module(), rego.Module())
}

// hostFunctions are the functions of the host, by module and name with a dot between them.
func hostFunctions() map[string]sandbox.Function {
	functions := map[string]sandbox.Function{}
	for _, module := range hostModules() {
		for _, function := range module.Functions {
			functions[module.Name+"."+function.Name] = function
		}
	}
	return functions
}

// program is a guest of any execution mode, before its code is set.
type program struct {
	*wasmtest.Module
	// text puts a text into memory and is code that pushes its address and length.
	text func(string) []byte
	// binary is the program that does the deed when it is asked about a request, and
	// accepts after it. Its settings are always valid.
	binary func(deed []byte) []byte
}

// programs are the execution modes.
var programs = map[string]func() *program{
	"wapc": func() *program {
		g := wasmtest.NewGuest()
		return &program{g.Module, g.Text, func(deed []byte) []byte {
			return g.OnValidate(deed, g.Respond(`{"accepted":true}`)).Bytes()
		}}
	},
	"wasi": func() *program {
		c := wasmtest.NewCommand()
		return &program{c.Module, c.Text, func(deed []byte) []byte {
			return c.Bytes(c.Asked(slices.Concat(deed, c.Print(1, `{"accepted":true}`)), c.Print(1, `{"valid":true}`)))
		}}
	},
	"opa":        func() *program { return regoProgram("opa") },
	"gatekeeper": func() *program { return regoProgram("gatekeeper") },
}

func regoProgram(mode string) *program {
	r := wasmtest.NewRego(mode)
	r.Builtins = `{"trace":7,"json.marshal":9}`
	texts := int32(20_000)
	return &program{
		r.Module,
		func(text string) []byte {
			address, length := texts, int32(len(text)) //nolint:gosec // a text of a case file
			r.Data(address, append([]byte(text), 0))
			texts += length + 1
			return slices.Concat(wasmtest.I32Const(address), wasmtest.I32Const(length))
		},
		func(deed []byte) []byte {
			r.Eval = slices.Concat(deed, wasmtest.I32Const(0))
			return r.Bytes()
		},
	}
}

// misdeeds are what guests do instead of their work, whatever their execution mode. The
// code leaves the stack as it was, if it ever ends.
var misdeeds = map[string]func(p *program) []byte{
	"nothing wrong": func(*program) []byte { return nil },

	"loops": func(*program) []byte { return wasmtest.Loop(wasmtest.Br(0)) },
	"recurses": func(p *program) []byte {
		down := slices.Concat(wasmtest.LocalGet(0), wasmtest.I32Const(1), wasmtest.I32Sub, wasmtest.Call(p.Next()))
		return slices.Concat(wasmtest.I32Const(60), wasmtest.Call(p.Func(p.Type([]byte{wasmtest.I32}, nil), wasmtest.LocalGet(0), wasmtest.If(down, down))))
	},
	"calls itself in place": func(p *program) []byte { return wasmtest.Call(p.Func(p.Type(nil, nil), wasmtest.ReturnCall(p.Next()))) },
	"recurses without end":  func(p *program) []byte { return wasmtest.Call(p.Func(p.Type(nil, nil), wasmtest.Call(p.Next()))) },
	"fills its memory for ever": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(63), wasmtest.MemoryGrow, wasmtest.Drop,
			wasmtest.Loop(wasmtest.I32Const(0), wasmtest.I32Const(7), wasmtest.MemorySize, wasmtest.I32Const(65_536), wasmtest.I32Mul, wasmtest.MemoryFill, wasmtest.Br(0)))
	},
	"moves its memory for ever": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(63), wasmtest.MemoryGrow, wasmtest.Drop,
			wasmtest.Loop(wasmtest.I32Const(1), wasmtest.I32Const(0), wasmtest.MemorySize, wasmtest.I32Const(65_536), wasmtest.I32Mul, wasmtest.I32Const(1), wasmtest.I32Sub, wasmtest.MemoryCopy, wasmtest.Br(0)))
	},
	"fills its table for ever": func(p *program) []byte {
		p.Table(50_000, p.Func(p.Type(nil, nil)))
		return wasmtest.Loop(wasmtest.I32Const(0), wasmtest.RefNullFunc, wasmtest.I32Const(50_000), wasmtest.TableFill, wasmtest.Br(0))
	},

	"traps": func(*program) []byte { return wasmtest.Unreachable },
	"divides by zero": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(1), wasmtest.I32Const(0), wasmtest.I32DivU, wasmtest.Drop)
	},
	"reads outside of its memory": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(-4), wasmtest.I32Load, wasmtest.Drop)
	},
	"writes outside of its memory": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(65_533), wasmtest.I32Const(1), wasmtest.I32Store)
	},
	"fills more than its memory": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(0), wasmtest.I32Const(0), wasmtest.I32Const(-1), wasmtest.MemoryFill)
	},
	"moves more than its memory": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(1), wasmtest.I32Const(0), wasmtest.I32Const(-1), wasmtest.MemoryCopy)
	},
	"calls an empty place in its table": func(p *program) []byte {
		p.Table(2, p.Func(p.Type(nil, nil)))
		return slices.Concat(wasmtest.I32Const(1), wasmtest.CallIndirect(p.Type(nil, nil)))
	},
	"calls a place outside of its table": func(p *program) []byte {
		p.Table(2, p.Func(p.Type(nil, nil)))
		return slices.Concat(wasmtest.I32Const(-1), wasmtest.CallIndirect(p.Type(nil, nil)))
	},
	"calls a function as one of another type": func(p *program) []byte {
		p.Table(2, p.Func(p.Type(nil, nil)))
		return slices.Concat(wasmtest.I32Const(0), wasmtest.CallIndirect(p.Type(nil, []byte{wasmtest.I32})), wasmtest.Drop)
	},

	// These are refused by a number, and accept when they are.
	"grows its memory by more than there is": func(*program) []byte {
		return slices.Concat(wasmtest.I32Const(65_535), wasmtest.MemoryGrow, wasmtest.I32Const(-1), wasmtest.I32Ne, wasmtest.If(wasmtest.Unreachable))
	},
	"grows its memory until it is refused": func(*program) []byte {
		return wasmtest.Loop(wasmtest.I32Const(64), wasmtest.MemoryGrow, wasmtest.I32Const(-1), wasmtest.I32Ne, wasmtest.BrIf(0))
	},
	"grows its table by more than there is": func(p *program) []byte {
		p.Table(2, p.Func(p.Type(nil, nil)))
		return slices.Concat(wasmtest.RefNullFunc, wasmtest.I32Const(-2), wasmtest.TableGrow, wasmtest.I32Const(-1), wasmtest.I32Ne, wasmtest.If(wasmtest.Unreachable))
	},
	"grows its table until it is refused": func(p *program) []byte {
		p.Table(2, p.Func(p.Type(nil, nil)))
		return wasmtest.Loop(wasmtest.RefNullFunc, wasmtest.I32Const(1000), wasmtest.TableGrow, wasmtest.I32Const(-1), wasmtest.I32Ne, wasmtest.BrIf(0))
	},
	// It would trap when it is asked again, did anything stay behind.
	"keeps something for the next time": func(p *program) []byte {
		asked := p.Global(0)
		return slices.Concat(
			wasmtest.GlobalGet(asked), wasmtest.If(wasmtest.Unreachable), wasmtest.I32Const(1), wasmtest.GlobalSet(asked),
			wasmtest.I32Const(60_000), wasmtest.I32Load, wasmtest.If(wasmtest.Unreachable), wasmtest.I32Const(60_000), wasmtest.I32Const(1), wasmtest.I32Store)
	},
}

func (c *Calls) check() error {
	function, known := hostFunctions()[c.Function]
	if !known {
		return fmt.Errorf("guest calls %q, which the host does not have", c.Function)
	}
	parameters := 0
	for _, given := range c.With {
		switch given.(type) {
		case int:
			parameters++
		case string:
			parameters += 2
		default:
			return fmt.Errorf("guest calls %s with %v, want numbers and texts", c.Function, given)
		}
	}
	if parameters != len(function.Params) {
		return fmt.Errorf("guest calls %s with %d parameters, want %d", c.Function, parameters, len(function.Params))
	}
	if c.Returns != nil && len(function.Results) == 0 {
		return fmt.Errorf("guest calls %s, which returns nothing", c.Function)
	}
	return nil
}

// deed is the code of the call.
func (c *Calls) deed(p *program) []byte {
	dot := strings.LastIndexByte(c.Function, '.')
	module, name := c.Function[:dot], c.Function[dot+1:]
	function := hostFunctions()[c.Function]
	index := p.Import(module, name, p.Type(function.Params, function.Results))
	var code []byte
	at := 0
	for _, given := range c.With {
		switch given := given.(type) {
		case string:
			code = append(code, p.text(given)...)
			at += 2
		case int:
			code = append(code, constant(function.Params[at], given)...)
			at++
		}
	}
	code = append(code, wasmtest.Call(index)...)
	switch {
	case c.Returns != nil:
		code = slices.Concat(code, wasmtest.I32Const(*c.Returns), wasmtest.I32Ne, wasmtest.If(wasmtest.Unreachable))
	case len(function.Results) > 0:
		code = append(code, wasmtest.Drop...)
	}
	if c.Forever {
		return wasmtest.Loop(code, wasmtest.Br(0))
	}
	return code
}

func constant(valueType byte, value int) []byte {
	if valueType == wasmtest.I64 {
		return wasmtest.I64Const(int64(value))
	}
	return wasmtest.I32Const(int32(value)) //nolint:gosec // a number of a case file
}

// commandDeeds are misdeeds that need functions of WASI.
var commandDeeds = map[string]func(c *wasmtest.Command) []byte{
	"writes without end": func(c *wasmtest.Command) []byte {
		return wasmtest.Loop(c.Print(1, strings.Repeat("all work and no play ", 100)), wasmtest.Br(0))
	},
	"sleeps": func(c *wasmtest.Command) []byte {
		poll := c.Import("wasi_snapshot_preview1", "poll_oneoff", c.Type(slices.Repeat([]byte{wasmtest.I32}, 4), []byte{wasmtest.I32}))
		subscription := make([]byte, 48)
		copy(subscription[24:], []byte{0, 0, 0, 0, 0, 1}) // three days, in nanoseconds
		c.Data(60_000, subscription)
		return slices.Concat(wasmtest.I32Const(60_000), wasmtest.I32Const(61_000), wasmtest.I32Const(1), wasmtest.I32Const(62_000), wasmtest.Call(poll), wasmtest.Drop)
	},
}

// hostile is the binary of a guest with an execution mode of its own.
func (g *Guest) hostile() []byte {
	if deed, ofCommand := commandDeeds[g.Does]; ofCommand {
		c := wasmtest.NewCommand()
		return c.Bytes(c.Asked(deed(c), c.Print(1, `{"valid":true}`)))
	}
	p := programs[g.As]()
	if g.Calls != nil {
		return p.binary(g.Calls.deed(p))
	}
	return p.binary(misdeeds[g.Does](p))
}

func (g *Guest) checkHostile() error {
	if _, known := programs[g.As]; !known {
		return fmt.Errorf("guest is called as %q; known are %s", g.As, strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
	}
	if g.Calls != nil {
		return g.Calls.check()
	}
	_, known := misdeeds[g.Does]
	_, ofCommand := commandDeeds[g.Does]
	if !known && (!ofCommand || g.As != "wasi") {
		return fmt.Errorf("guest does %q as %s; known are %s, and for wasi %s", g.Does, g.As,
			strings.Join(slices.Sorted(maps.Keys(misdeeds)), ", "), strings.Join(slices.Sorted(maps.Keys(commandDeeds)), ", "))
	}
	return nil
}
