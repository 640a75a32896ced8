package groups

import (
	"fmt"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// checker turns CEL's syntax tree into nodes, and refuses what is no part of the language.
type checker struct {
	source  *ast.SourceInfo
	members map[string]bool
	// calls are the members that are called, by name, and their place in called.
	calls   map[string]int
	called  []string
	invalid *Error
}

const language = "an expression is made of member(), !, &&, ||, ?:, parentheses, true, false and comparisons"

func (c *checker) refuse(expression ast.Expr, format string, arguments ...any) error {
	return c.invalid.at(c.source.GetStartLocation(expression.ID()), fmt.Sprintf(format, arguments...))
}

// boolean is the node for an expression that must be true or false.
func (c *checker) boolean(expression ast.Expr) (node, error) {
	switch expression.Kind() {
	case ast.LiteralKind:
		if value, is := expression.AsLiteral().(types.Bool); is {
			return constant(value), nil
		}
		return nil, c.refuse(expression, "it must evaluate to bool, got a literal of type %s", expression.AsLiteral().Type().TypeName())
	case ast.IdentKind:
		name := expression.AsIdent()
		if c.members[name] {
			return nil, c.refuse(expression, "a member is called with parentheses: %s()", name)
		}
		return nil, c.refuse(expression, "%q is no member; %s", name, language)
	case ast.CallKind:
		return c.operation(expression)
	default:
		return nil, c.refuse(expression, "%s", language)
	}
}

func (c *checker) operation(expression ast.Expr) (node, error) {
	call := expression.AsCall()
	if call.IsMemberFunction() {
		return nil, c.refuse(expression, "%s() is called on something; %s", call.FunctionName(), language)
	}
	switch call.FunctionName() {
	case operators.LogicalNot, operators.LogicalAnd, operators.LogicalOr, operators.Conditional:
		operands, err := c.booleans(call.Args())
		if err != nil {
			return nil, err
		}
		return logical(call.FunctionName(), operands), nil
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return c.comparison(expression, call)
	default:
		return c.member(expression, call)
	}
}

func (c *checker) booleans(expressions []ast.Expr) ([]node, error) {
	nodes := make([]node, 0, len(expressions))
	for _, expression := range expressions {
		next, err := c.boolean(expression)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, next)
	}
	return nodes, nil
}

func logical(operator string, operands []node) node {
	switch operator {
	case operators.LogicalNot:
		return not{operands[0]}
	case operators.LogicalAnd:
		return and(operands)
	case operators.LogicalOr:
		return or(operands)
	default:
		return choice{operands[0], operands[1], operands[2]}
	}
}

func (c *checker) member(expression ast.Expr, call ast.CallExpr) (node, error) {
	name := call.FunctionName()
	if !c.members[name] {
		if symbol, is := operators.FindReverse(name); is && CheckName(name) != nil {
			if symbol == "" {
				return nil, c.refuse(expression, "%s", language)
			}
			return nil, c.refuse(expression, "there is no operator %s; %s", symbol, language)
		}
		return nil, c.refuse(expression, "there is no member %s()", name)
	}
	if len(call.Args()) > 0 {
		return nil, c.refuse(expression, "member %s() takes no arguments", name)
	}
	index, known := c.calls[name]
	if !known {
		index = len(c.called)
		c.calls[name] = index
		c.called = append(c.called, name)
	}
	return member(index), nil
}

// comparison is of two literals of one type, which is decided here, or of two boolean
// expressions.
func (c *checker) comparison(expression ast.Expr, call ast.CallExpr) (node, error) {
	left, right := call.Args()[0], call.Args()[1]
	if isValue(left) && isValue(right) {
		return c.literals(expression, call.FunctionName(), [2]ref.Val{left.AsLiteral(), right.AsLiteral()})
	}
	operands, err := c.booleans(call.Args())
	if err != nil {
		return nil, err
	}
	switch call.FunctionName() {
	case operators.Equals:
		return equal{operands[0], operands[1]}, nil
	case operators.NotEquals:
		return not{equal{operands[0], operands[1]}}, nil
	default:
		return nil, c.refuse(expression, "booleans are compared by == and != only")
	}
}

// isValue says whether an expression is a literal that is not a boolean.
func isValue(expression ast.Expr) bool {
	return expression.Kind() == ast.LiteralKind && expression.AsLiteral().Type() != types.BoolType
}

func (c *checker) literals(expression ast.Expr, operator string, operands [2]ref.Val) (node, error) {
	left, right := operands[0], operands[1]
	comparer, is := left.(traits.Comparer)
	if !is || left.Type() != right.Type() {
		return nil, c.refuse(expression, "literals of types %s and %s cannot be compared", left.Type().TypeName(), right.Type().TypeName())
	}
	order, is := comparer.Compare(right).(types.Int)
	if !is {
		return nil, c.refuse(expression, "the literals cannot be compared")
	}
	switch operator {
	case operators.Equals:
		return constant(order == 0), nil
	case operators.NotEquals:
		return constant(order != 0), nil
	case operators.Less:
		return constant(order < 0), nil
	case operators.LessEquals:
		return constant(order <= 0), nil
	case operators.Greater:
		return constant(order > 0), nil
	default:
		return constant(order >= 0), nil
	}
}
