package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// runtimes are the names that upstream gives to execution modes.
var runtimes = map[metadata.ExecutionMode]string{
	metadata.ModeWaPC: "wapc", metadata.ModeWASI: "wasi", metadata.ModeOPA: "OPA", metadata.ModeGatekeeper: "Gatekeeper",
}

// Module follows the calls of a module.
func (t *Tracer) Module(next evaluation.Module, mode metadata.ExecutionMode) evaluation.Module {
	if t == nil {
		return next
	}
	return tracedModule{next, t, attribute.String("self", `PolicyEvaluator { runtime: "`+runtimes[mode]+`" }`)}
}

type tracedModule struct {
	evaluation.Module

	tracer *Tracer
	self   attribute.KeyValue
}

func (m tracedModule) Isolate(ctx context.Context, call policy.Call, isolation policy.Isolation) (evaluation.Module, error) {
	isolated, err := m.Module.Isolate(ctx, call, isolation)
	if err != nil {
		return nil, err
	}
	return tracedModule{isolated, m.tracer, m.self}, nil
}

func (m tracedModule) Validate(ctx context.Context, call policy.Call, request json.RawMessage) (protocol.ValidationResponse, error) {
	ctx, span := m.start(ctx, spanValidate, call)
	defer span.End()
	response, err := m.Module.Validate(ctx, call, request)
	fail(span, err)
	return response, err
}

func (m tracedModule) ValidateSettings(ctx context.Context, call policy.Call) (protocol.SettingsValidationResponse, error) {
	ctx, span := m.start(ctx, spanValidateSettings, call)
	defer span.End()
	response, err := m.Module.ValidateSettings(ctx, call)
	fail(span, err)
	return response, err
}

// start begins a span. Beside upstream's attribute, which is the same for many policies,
// it names the policy, and leaves out the settings, which may hold secrets.
func (m tracedModule) start(ctx context.Context, name string, call policy.Call) (context.Context, trace.Span) {
	ctx, span := m.tracer.tracer.Start(ctx, name)
	if span.IsRecording() {
		span.SetAttributes(m.self, text("policy_id", call.PolicyID))
	}
	return ctx, span
}

// fail marks a span whose call failed. The text is the one that the sender of the request
// gets, too: what lies behind it stays in the log.
func fail(span trace.Span, err error) {
	if err == nil || !span.IsRecording() {
		return
	}
	message := err.Error()
	if failure, is := errors.AsType[*policy.Error](err); is {
		message = failure.Message
	}
	span.SetStatus(codes.Error, cut(message))
}

// tracedHandler makes spans out of what guests log.
type tracedHandler struct {
	slog.Handler

	tracer *Tracer
}

func (h tracedHandler) Handle(ctx context.Context, record slog.Record) error {
	if trace.SpanFromContext(ctx).IsRecording() {
		h.follow(ctx, record)
	}
	return h.Handler.Handle(ctx, record)
}

func (h tracedHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return tracedHandler{h.Handler.WithAttrs(attributes), h.tracer}
}

func (h tracedHandler) WithGroup(name string) slog.Handler {
	return tracedHandler{h.Handler.WithGroup(name), h.tracer}
}

// follow makes the span of one record: of what a Rego policy prints, opa_println with the
// text; of everything else, policy_log with the record as an event.
func (h tracedHandler) follow(ctx context.Context, record slog.Record) {
	values := map[string]string{}
	record.Attrs(func(attribute slog.Attr) bool {
		values[attribute.Key] = attribute.Value.String()
		return true
	})
	if values[host.KeyStream] == host.StreamPrint {
		_, span := h.tracer.tracer.Start(ctx, spanPrint)
		span.SetAttributes(text("policy_id", values[host.KeyPolicy]), text("msg", values[host.KeyText]))
		span.End()
		return
	}
	_, span := h.tracer.tracer.Start(ctx, spanPolicyLog)
	defer span.End()
	span.SetAttributes(text("policy_id", values[host.KeyPolicy]))
	name, found := values[host.KeyText]
	if !found {
		name = record.Message
	}
	span.AddEvent(cut(name), trace.WithAttributes(text("level", record.Level.String()), text("data", values[host.KeyData])))
}
