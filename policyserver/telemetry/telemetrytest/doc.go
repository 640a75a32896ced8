// Package telemetrytest is a collector of telemetry for tests, on the loopback interface.
//
// What belongs here: receiving OTLP over gRPC and keeping what came. What never does: checks
// of what came; those are the tests'.
package telemetrytest
