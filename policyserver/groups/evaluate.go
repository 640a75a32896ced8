package groups

import "slices"

// Called are the members that the expression calls, in the order of their first call. It
// may leave out members of the group.
func (e *Expression) Called() []string { return slices.Clone(e.called) }

// Evaluate gives the value of the expression. It asks members for their verdicts from left
// to right, only those that decide, and each at most once: a further call of a member has
// the value of the first. The first error of a member ends the evaluation and is returned
// as it is, with false: a member that failed has no verdict, neither has what stands
// behind it, and a ! before it makes no true of it.
func (e *Expression) Evaluate(ask func(member string) (bool, error)) (bool, error) {
	return e.root.evaluate(&run{ask: ask, called: e.called, verdicts: make([]verdict, len(e.called))})
}

// run is one evaluation.
type run struct {
	ask      func(member string) (bool, error)
	called   []string
	verdicts []verdict // as called
}

type verdict int8

const (
	unknown verdict = iota
	yes
	no
)

// node is a part of an expression that is true or false.
type node interface {
	evaluate(r *run) (bool, error)
}

type (
	constant bool
	// member is a place in run.called.
	member int
	not    struct{ operand node }
	and    []node
	or     []node
	choice struct{ condition, then, otherwise node }
	equal  struct{ left, right node }
)

func (n constant) evaluate(*run) (bool, error) { return bool(n), nil }

func (n member) evaluate(r *run) (bool, error) {
	if r.verdicts[n] != unknown {
		return r.verdicts[n] == yes, nil
	}
	accepted, err := r.ask(r.called[n])
	if err != nil {
		return false, err
	}
	r.verdicts[n] = no
	if accepted {
		r.verdicts[n] = yes
	}
	return accepted, nil
}

func (n not) evaluate(r *run) (bool, error) {
	value, err := n.operand.evaluate(r)
	if err != nil {
		return false, err
	}
	return !value, nil
}

func (n and) evaluate(r *run) (bool, error) {
	for _, operand := range n {
		if value, err := operand.evaluate(r); err != nil || !value {
			return false, err
		}
	}
	return true, nil
}

func (n or) evaluate(r *run) (bool, error) {
	for _, operand := range n {
		value, err := operand.evaluate(r)
		if err != nil {
			return false, err
		}
		if value {
			return true, nil
		}
	}
	return false, nil
}

func (n choice) evaluate(r *run) (bool, error) {
	condition, err := n.condition.evaluate(r)
	switch {
	case err != nil:
		return false, err
	case condition:
		return n.then.evaluate(r)
	default:
		return n.otherwise.evaluate(r)
	}
}

func (n equal) evaluate(r *run) (bool, error) {
	left, err := n.left.evaluate(r)
	if err != nil {
		return false, err
	}
	right, err := n.right.evaluate(r)
	if err != nil {
		return false, err
	}
	return left == right, nil
}
