// Package telemetry is what a policy server tells about itself to machines and to people
// who read logs.
//
// What belongs here: the names and labels of metrics (metrics.go), the bounds of label
// values (bounded.go), and the format of log lines (log.go). Metric names are upstream's
// where upstream has one; every other begins with kubewarden_policy_server_.
//
// What never does: deciding what happened. Other rooms call in.
//
// Where the data goes next: Prometheus scrapes Metrics.Handler.
package telemetry
