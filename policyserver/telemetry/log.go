package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// LevelTrace is below slog's lowest level.
const LevelTrace = slog.LevelDebug - 4

// Formats of log lines. FormatOTLP is FormatText for what is written; that the lines are
// pushed to a collector as well is the matter of a Push.
const (
	FormatText = "text"
	FormatJSON = "json"
	FormatOTLP = "otlp"
)

// Levels are the names that --log-level takes, as upstream's.
var Levels = map[string]slog.Level{
	"trace": LevelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// NewLogger writes log lines of at least a level. The error names what is allowed.
func NewLogger(output io.Writer, format, level string) (*slog.Logger, error) {
	least, known := Levels[level]
	if !known {
		return nil, fmt.Errorf("log level %q is unknown; allowed are trace, debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: nameTrace}
	switch format {
	case FormatText, FormatOTLP:
		return slog.New(slog.NewTextHandler(output, options)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(output, options)), nil
	default:
		return nil, fmt.Errorf("log format %q is unknown; allowed are text, json, otlp", format)
	}
}

func nameTrace(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) == 0 && attribute.Key == slog.LevelKey && attribute.Value.Any() == LevelTrace {
		attribute.Value = slog.StringValue("TRACE")
	}
	return attribute
}
