// Package telemetry is what a policy server tells about itself to machines and to people
// who read logs.
//
// What belongs here: the names and labels of metrics (metrics.go), the bounds of label
// values (bounded.go), the format of log lines (log.go), the names and attributes of spans
// (spans.go, guestspans.go), and pushing all of it to a collector (push.go, producer.go).
// Names are upstream's where upstream has one; every other metric begins with
// kubewarden_policy_server_. OpenTelemetry is known here and nowhere else.
//
// What never does: deciding what happened. Other rooms call in, or are followed by what a
// Tracer wraps around them. No object, no body and no settings of a policy go out.
//
// Where the data goes next: Prometheus scrapes Metrics.Handler, a collector gets what Push
// sends.
package telemetry
