package evaluation

import (
	"context"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Evaluation is what there is to know of one verdict. Accepted, Mutated and Code are the
// policy's own verdict, before mode, mutation rule and custom message.
type Evaluation struct {
	PolicyID string
	Mode     contract.Mode
	Origin   Origin
	// Kind, Operation and Namespace are the request's.
	Kind, Operation, Namespace string
	Accepted, Mutated          bool
	// Code is nil when the verdict has none.
	Code *uint16
	// Latency is the evaluation alone, without waiting for a worker.
	Latency time.Duration
}

// Observer is told of every verdict; it must be fast and safe for concurrent use.
type Observer interface {
	Evaluated(Evaluation)
	// NotLoaded is a request to a policy of which no revision could be loaded.
	NotLoaded(policyID string, reason contract.Reason)
}

// Step is a part of preparing a policy.
type Step string

// Steps of preparing a policy.
const (
	StepFetch    Step = "fetch"
	StepCompile  Step = "compile"
	StepSettings Step = "settings"
)

// LoadObserver is told what the loader does.
type LoadObserver interface {
	// Prepared is one step that succeeded, and how long it took.
	Prepared(step Step, took time.Duration)
	// ModuleInMemory is a module that a policy was given because another one has it.
	ModuleInMemory()
	// SetChanged comes after every change of what is served or of why it is not.
	SetChanged(Snapshot)
}

// GroupAsked is a group that is about to be evaluated.
type GroupAsked struct {
	PolicyID, Expression, Message string
	// Members are the names of all members, sorted.
	Members []string
}

// TraceGroup is called before a group is evaluated. Its members are asked with the context
// that it gives; the function is called when the verdict is there.
type TraceGroup func(ctx context.Context, asked GroupAsked) (context.Context, func())
