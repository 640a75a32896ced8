package groups

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/parser"
)

// Bounds of an expression: far above what somebody writes, and far below what takes
// noticeable time or stack.
const (
	maxCharacters = 8192
	maxNesting    = 64
)

// Expression is an expression that can be evaluated. It does not change and is safe for
// concurrent use.
type Expression struct {
	root node
	// called are the members that the expression calls, in the order of their first call.
	called []string
}

// Error is what is wrong with an expression.
type Error struct {
	// Expression is the whole of it.
	Expression string
	// Line and Column say where, both from 1; 0 when it is about the whole.
	Line, Column int
	// Problem says what.
	Problem string
	// Members are those that could have been called, sorted.
	Members []string
}

// Error names the expression as well, cut when it is long.
func (e *Error) Error() string {
	shown := e.Expression
	if utf8.RuneCountInString(shown) > maxShown {
		shown = string([]rune(shown)[:maxShown]) + "..."
	}
	return fmt.Sprintf("expression %q: %s", shown, e.Detail())
}

// Detail is the error for somebody who sees the expression already.
func (e *Error) Detail() string {
	var text strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&text, "line %d, column %d: ", e.Line, e.Column)
	}
	text.WriteString(e.Problem)
	if len(e.Members) == 0 {
		text.WriteString("; the group has no members")
		return text.String()
	}
	text.WriteString("; the members are ")
	for i, name := range e.Members {
		if i == maxNamed {
			fmt.Fprintf(&text, " and %d more", len(e.Members)-maxNamed)
			break
		}
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(name + "()")
	}
	return text.String()
}

// How much of an expression and how many members an error names.
const (
	maxShown = 80
	maxNamed = 20
)

// Compile checks an expression over members and makes it ready to be evaluated. A name
// that cannot be called is an error of CheckName, anything else an *Error.
func Compile(expression string, members []string) (*Expression, error) {
	known := make(map[string]bool, len(members))
	for _, name := range members {
		if err := CheckName(name); err != nil {
			return nil, err
		}
		known[name] = true
	}
	invalid := &Error{Expression: expression, Members: slices.Sorted(maps.Keys(known))}
	switch length := utf8.RuneCountInString(expression); {
	case strings.TrimSpace(expression) == "":
		invalid.Problem = "it is empty"
		return nil, invalid
	case length > maxCharacters:
		invalid.Problem = fmt.Sprintf("it is %d characters long, allowed are %d", length, maxCharacters)
		return nil, invalid
	}
	cel, err := parser.NewParser(
		parser.MaxRecursionDepth(maxNesting), parser.EnableVariadicOperatorASTs(true), parser.EnableIdentEscapeSyntax(false),
	)
	if err != nil {
		return nil, fmt.Errorf("make parser of CEL: %w", err)
	}
	parsed, failures := cel.Parse(common.NewTextSource(expression))
	if len(failures.GetErrors()) > 0 {
		first := failures.GetErrors()[0]
		return nil, invalid.at(first.Location, first.Message)
	}
	check := &checker{source: parsed.SourceInfo(), members: known, calls: map[string]int{}, invalid: invalid}
	root, err := check.boolean(parsed.Expr())
	if err != nil {
		return nil, err
	}
	return &Expression{root: root, called: check.called}, nil
}

// at is the error with a place and a problem.
func (e *Error) at(location common.Location, problem string) error {
	located := *e
	located.Problem = strings.ReplaceAll(problem, "\n", " ")
	if location.Line() > 0 {
		located.Line, located.Column = location.Line(), location.Column()+1
	}
	return &located
}
