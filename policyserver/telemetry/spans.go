package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// Names of spans; upstream's (policy-server: api/handlers.rs, tracing instrumentation of
// the crates policy-server and policy-evaluator).
const (
	spanRequest          = "request"
	spanValidation       = "validation"
	spanAudit            = "audit"
	spanValidationRaw    = "validation_raw"
	spanValidate         = "validate"
	spanValidateSettings = "validate_settings"
	spanPolicyLog        = "policy_log"
	spanHostCall         = "host_call" // upstream has none for it
	spanPrint            = "opa_println"
)

// spanOf is the span of a whole evaluation.
var spanOf = map[evaluation.Origin]string{
	evaluation.OriginValidate: spanValidation, evaluation.OriginAudit: spanAudit, evaluation.OriginRaw: spanValidationRaw,
}

// maxAttributeBytes bounds what requests and policies write into an attribute.
const maxAttributeBytes = 4096

// Tracer makes the spans of requests. A nil Tracer makes none, and gives everything that
// it is to follow back as it is: who does not trace does not pay for it.
//
// No attribute ever holds an object, a body or a policy's settings.
type Tracer struct {
	tracer trace.Tracer
	host   string
}

// Handler follows HTTP requests. A trace that the sender began is continued (W3C Trace
// Context).
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		ctx := propagation.TraceContext{}.Extract(request.Context(), propagation.HeaderCarrier(request.Header))
		ctx, span := t.tracer.Start(ctx, spanRequest, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		if span.IsRecording() {
			span.SetAttributes(text("method", request.Method), text("uri", request.RequestURI), text("version", request.Proto))
		}
		next.ServeHTTP(writer, request.WithContext(ctx))
	})
}

// Evaluator judges requests; *evaluation.Environment is one.
type Evaluator interface {
	Evaluate(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error)
}

// Evaluator follows evaluations.
func (t *Tracer) Evaluator(next Evaluator) Evaluator {
	if t == nil {
		return next
	}
	return tracedEvaluator{t, next}
}

type tracedEvaluator struct {
	*Tracer

	next Evaluator
}

// Evaluate puts the final answer into the span, after mode, mutation rule and message.
func (e tracedEvaluator) Evaluate(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error) {
	ctx, span := e.tracer.Start(ctx, spanOf[request.Origin])
	defer span.End()
	if span.IsRecording() {
		span.SetAttributes(e.about(policyID, request)...)
	}
	response, err := e.next.Evaluate(ctx, policyID, request)
	switch {
	case !span.IsRecording():
	case err != nil:
		span.SetStatus(codes.Error, cut(err.Error()))
	default:
		span.SetAttributes(outcome(response)...)
	}
	return response, err
}

func (e tracedEvaluator) about(policyID string, request evaluation.Request) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, 13)
	attributes = append(attributes, text("request_uid", request.UID), text("host", e.host), text("policy_id", policyID))
	if request.Origin == evaluation.OriginRaw {
		return attributes
	}
	return append(attributes,
		text("name", request.Name), text("namespace", request.Namespace),
		text("operation", request.Operation), text("subresource", request.Subresource),
		text("kind_group", request.ObjectKind.Group), text("kind_version", request.ObjectKind.Version), text("kind", request.ObjectKind.Name),
		text("resource_group", request.Resource.Group), text("resource_version", request.Resource.Version), text("resource", request.Resource.Name),
	)
}

func outcome(response evaluation.Response) []attribute.KeyValue {
	attributes := []attribute.KeyValue{attribute.Bool("allowed", response.Allowed), attribute.Bool("mutated", response.Patch != nil)}
	if status := response.Status; status != nil {
		if status.Code != nil {
			attributes = append(attributes, attribute.Int("response_code", int(*status.Code)))
		}
		if status.Message != nil {
			attributes = append(attributes, text("response_message", *status.Message))
		}
	}
	return attributes
}

// Group follows the evaluation of a group; it is an evaluation.TraceGroup, or nil.
func (t *Tracer) Group() evaluation.TraceGroup {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, asked evaluation.GroupAsked) (context.Context, func()) {
		ctx, span := t.tracer.Start(ctx, spanValidate)
		if span.IsRecording() {
			span.SetAttributes(text("self", fmt.Sprintf("PolicyGroup { id: %q, message: %q, expression: %q, members: %q }",
				asked.PolicyID, asked.Message, asked.Expression, asked.Members)))
		}
		return ctx, func() { span.End() }
	}
}

// HostCalls follows what guests ask of the host; it is a host.Trace, or nil. What they send and
// get is in no attribute.
func (t *Tracer) HostCalls() host.Trace {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, policyID, capability string) (context.Context, func(host.Result, error)) {
		ctx, span := t.tracer.Start(ctx, spanHostCall)
		return ctx, func(result host.Result, err error) {
			if span.IsRecording() {
				span.SetAttributes(text("policy_id", policyID), text("capability", capability), text("result", string(result)))
			}
			fail(span, err)
			span.End()
		}
	}
}

// PolicyLogger follows what guests log: what passes through the logger with the context of
// a span is also an event of a span of its own.
func (t *Tracer) PolicyLogger(next *slog.Logger) *slog.Logger {
	if t == nil {
		return next
	}
	return slog.New(tracedHandler{next.Handler(), t})
}

func text(key, value string) attribute.KeyValue { return attribute.String(key, cut(value)) }

// cut bounds a text, without leaving a part of a character.
func cut(value string) string {
	if len(value) > maxAttributeBytes {
		value = value[:maxAttributeBytes]
	}
	return strings.ToValidUTF8(value, "\uFFFD")
}
