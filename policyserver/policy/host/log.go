package host

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// namespaceTracing holds the one operation that no grant is needed for.
const (
	namespaceTracing = "tracing"
	operationLog     = "log"
)

// LevelTrace is the level of what guests log as trace.
const LevelTrace = slog.LevelDebug - 4

// Keys of what is logged for guests: the policy's ID, and what it said, where and with which
// data. StreamPrint is the stream of what Rego policies print.
const (
	KeyPolicy = "policy_id"
	KeyText   = "text"
	KeyData   = "data"
	KeyStream = "stream"

	StreamPrint = "print"
)

// A guest's logs are bounded per call: whoever can send requests could fill the disk.
const (
	maxLogRecords = 100
	maxLogBytes   = 64 << 10
	// maxLogPayload bounds what is decoded: 16 MiB of JSON can be a gigabyte of members.
	maxLogPayload = 1 << 20
)

// budget is what one call has logged.
type budget struct {
	records int
	bytes   int
	spent   bool
}

// record is a line of the log.
type record struct {
	level      slog.Level
	message    string
	attributes []slog.Attr
}

// Output logs what a guest wrote to its console or to one of its streams.
func (s *Session) Output(ctx context.Context, stream, text string) {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return
	}
	s.log(ctx, record{
		level:      slog.LevelInfo,
		message:    "policy output",
		attributes: []slog.Attr{slog.String(KeyPolicy, s.policy.ID), slog.String(KeyStream, stream), slog.String(KeyText, text)},
	})
}

// trace serves tracing/log. A malformed record is the author's problem and no failure of
// the evaluation: it is logged as one, and the call succeeds.
func (s *Session) trace(ctx context.Context, call Call) ([]byte, error) {
	if call.Operation != operationLog {
		return nil, fmt.Errorf("unknown operation: %s", call.Operation)
	}
	if s.logged.spent {
		return []byte{}, nil
	}
	entry, err := s.decodeTrace(call.Payload)
	if err != nil {
		entry = record{
			level:   slog.LevelError,
			message: "policy log is malformed",
			attributes: []slog.Attr{
				slog.String(KeyPolicy, s.policy.ID), slog.String("error", err.Error()),
				slog.String("payload", strings.ToValidUTF8(string(call.Payload[:min(len(call.Payload), maxLogBytes)]), "\uFFFD")),
			},
		}
	}
	s.log(ctx, entry)
	return []byte{}, nil
}

func (s *Session) decodeTrace(payload []byte) (record, error) {
	if len(payload) > maxLogPayload {
		return record{}, fmt.Errorf("log record has %d bytes, at most %d are allowed", len(payload), maxLogPayload)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		return record{}, fmt.Errorf("decode log record: %w", err)
	}
	var levelName, message string
	if err := json.Unmarshal(members["level"], &levelName); err != nil {
		return record{}, fmt.Errorf("decode level: %w", err)
	}
	level, err := parseLevel(levelName)
	if err != nil {
		return record{}, err
	}
	if raw, present := members["message"]; present {
		if err := json.Unmarshal(raw, &message); err != nil {
			return record{}, fmt.Errorf("decode message: %w", err)
		}
	}
	delete(members, "level")
	delete(members, "message")
	data, err := json.Marshal(members)
	if err != nil {
		return record{}, fmt.Errorf("encode data: %w", err)
	}
	return record{
		level:   level,
		message: "policy log",
		attributes: []slog.Attr{
			slog.String(KeyPolicy, s.policy.ID), slog.String(KeyText, message), slog.String(KeyData, string(data)),
		},
	}, nil
}

// parseLevel knows upstream's levels, in any case.
func parseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "trace":
		return LevelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("level %q is not known, allowed are trace, debug, info, warning, error", name)
	}
}

// log writes a record as long as the call's budget lasts, and once that it does not.
func (s *Session) log(ctx context.Context, entry record) {
	if s.logged.spent {
		return
	}
	for i, attribute := range entry.attributes {
		left := max(0, maxLogBytes-s.logged.bytes)
		text := cut(attribute.Value.String(), left)
		s.logged.bytes += len(text)
		entry.attributes[i].Value = slog.StringValue(text)
	}
	s.dispatcher.logger.LogAttrs(ctx, entry.level, entry.message, entry.attributes...)
	s.logged.records++
	if s.logged.records >= maxLogRecords || s.logged.bytes >= maxLogBytes {
		s.logged.spent = true
		s.dispatcher.logger.LogAttrs(ctx, slog.LevelWarn, "policy logged too much in one call, the rest is dropped",
			slog.String(KeyPolicy, s.policy.ID))
	}
}

// cut shortens a text to n bytes without cutting a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
