package evaluation

import (
	"context"
	"log/slog"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Bounds on what a line of the log says: a verdict is as long as a guest likes, and whoever
// can send requests could fill the disk.
const (
	maxLoggedText   = 4 << 10 // bytes
	maxLoggedCauses = 32
)

// shortened is a text as a log line has it.
func shortened(text string) string {
	if len(text) <= maxLoggedText {
		return text
	}
	return strings.ToValidUTF8(text[:maxLoggedText], "") + "..."
}

// decision is what a log line is about.
type decision struct {
	rules             Rules
	request           Request
	verdict, response Response
}

// log writes one line per decision: at info for a monitoring policy, whose verdict shows
// nowhere else, at debug for others. Neither object nor settings are ever logged.
func (e *Environment) log(ctx context.Context, made decision) {
	level, message, shown := slog.LevelDebug, "policy evaluation", made.response
	if made.rules.Mode == contract.ModeMonitor && made.request.Origin != OriginAudit {
		level, message, shown = slog.LevelInfo, "policy evaluation (monitor mode)", made.verdict
	}
	if !e.config.Logger.Enabled(ctx, level) {
		return
	}
	e.config.Logger.LogAttrs(ctx, level, message,
		slog.String("policy_id", made.rules.PolicyID),
		slog.Bool("allowed_to_mutate", made.rules.AllowedToMutate),
		slog.String("request_uid", shortened(made.request.UID)),
		slog.String("request_origin", string(made.request.Origin)),
		slog.String("kind", shortened(made.request.Kind)),
		slog.String("namespace", shortened(made.request.Namespace)),
		slog.String("name", shortened(made.request.Name)),
		slog.String("operation", shortened(made.request.Operation)),
		slog.Any("response", logged(shown)),
	)
}

// logged is what a log line says of a verdict.
func logged(verdict Response) slog.Value {
	attributes := []slog.Attr{slog.Bool("allowed", verdict.Allowed), slog.Bool("mutated", verdict.Patch != nil)}
	if verdict.Status != nil {
		if verdict.Status.Code != nil {
			attributes = append(attributes, slog.Int("code", int(*verdict.Status.Code)))
		}
		if verdict.Status.Message != nil {
			attributes = append(attributes, slog.String("message", shortened(*verdict.Status.Message)))
		}
		if verdict.Status.Details != nil && len(verdict.Status.Details.Causes) > 0 {
			shown := verdict.Status.Details.Causes[:min(len(verdict.Status.Details.Causes), maxLoggedCauses)]
			causes := make([]string, 0, len(shown))
			for _, cause := range shown {
				causes = append(causes, shortened(cause.String()))
			}
			attributes = append(attributes, slog.Any("causes", causes))
		}
	}
	return slog.GroupValue(attributes...)
}
