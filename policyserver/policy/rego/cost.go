package rego

import (
	"regexp/syntax"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Bounds on what single builtins are asked for. They keep what is left behind at a
// deadline to a few seconds.
const (
	// maxKeyArguments bounds what certificates and keys come in: the time for a signature
	// grows with the square of the key.
	maxKeyArguments = 64 << 10
	// maxMatching bounds the instructions of a regular expression times the bytes of the text.
	maxMatching = 1_000_000_000
)

// patterns are the builtins with a regular expression: its operand, and that of the text.
var patterns = map[string][2]int{
	"re_match":                         {0, 1},
	"regex.find_all_string_submatch_n": {0, 1},
	"regex.find_n":                     {0, 1},
	"regex.match":                      {0, 1},
	"regex.replace":                    {1, 0},
	"regex.split":                      {0, 1},
}

// checkCost refuses arguments whose answer could be vastly larger than they are, or take
// vastly longer.
func checkCost(asked question) error {
	name := asked.builtin.name
	if bound := answerBound(asked); bound > maxResult {
		return sandbox.Violationf("its answer could have more than %d bytes", maxResult)
	}
	if (strings.HasPrefix(name, "io.jwt.") || strings.HasPrefix(name, "crypto.x509.")) && asked.size > maxKeyArguments {
		return sandbox.Violationf("its arguments have more than %d bytes", maxKeyArguments)
	}
	operands, matching := patterns[name]
	if matching && asked.size > quickArguments && matchingWork(asked.text(operands[0]), asked.text(operands[1])) > maxMatching {
		return sandbox.Violationf("its regular expression is too large for a text of %d bytes", len(asked.text(operands[1])))
	}
	return nil
}

// text is an operand that is a string; any other is for the builtin to refuse.
func (q question) text(operand int) string {
	text, _ := q.arguments[operand].Value.(ast.String)
	return string(text)
}

// matchingWork is how many instructions a regular expression takes over a text at most.
func matchingWork(pattern, text string) int {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0 // the builtin will say so
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst) * len(text)
}

// answerBound is how long the answer can be, for the builtins where it can be much longer
// than the arguments; 0 for others.
func answerBound(asked question) int {
	switch asked.builtin.name {
	case "sprintf":
		return sprintfBound(asked.text(0), asked.size)
	case "regex.replace":
		// At most one replacement between all bytes, each with the whole text in it.
		return (len(asked.text(0)) + 1) * (len(asked.text(2)) + 1)
	default:
		return 0
	}
}

// sprintfBound is how long the answer of sprintf can be: every directive may write all
// arguments, quoted, in the width that it asks for.
func sprintfBound(format string, arguments int) int {
	const quoting = 6 // "\u00ff" for a byte
	most := len(format)
	for i := 0; i < len(format) && most <= maxResult; i++ {
		if format[i] != '%' {
			continue
		}
		most += quoting * arguments
		number := 0
		for i++; i < len(format) && strings.IndexByte("0123456789.+-# []*", format[i]) >= 0; i++ {
			switch c := format[i]; {
			case c >= '0' && c <= '9':
				number = min(10*number+int(c-'0'), maxResult+1)
			case c == '*': // the width is an argument; Go takes up to a million
				most += 1_000_000
			default:
				most += number
				number = 0
			}
		}
		most += number
	}
	return most
}
