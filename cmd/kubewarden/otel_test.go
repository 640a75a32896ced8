package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

func TestWhatIsPushed(t *testing.T) {
	const here = "http://127.0.0.1:4317"
	for name, tc := range map[string]struct {
		metrics   bool
		format    string
		variables map[string]string
		want      string
	}{
		"nothing by default":                      {want: ""},
		"nothing where only a name stands":        {variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": here}, want: ""},
		"metrics are scraped without a collector": {metrics: true, want: ""},
		"metrics to a collector":                  {metrics: true, variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": here}, want: "metrics"},
		"metrics to one of their own":             {metrics: true, variables: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": here}, want: "metrics"},
		"metrics to the one beside":               {metrics: true, variables: map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}, want: "metrics"},
		"metrics not pushed on purpose":           {metrics: true, variables: map[string]string{"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": here}, want: ""},
		"metrics not enabled":                     {variables: map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}, want: ""},
		"traces and logs by the format":           {format: "otlp", want: "traces logs"},
		"traces to a collector":                   {variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": here}, want: "traces"},
		"logs to a collector":                     {variables: map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": here}, want: "logs"},
		"no logs for a collector of spans":        {format: "otlp", variables: map[string]string{"OTEL_LOGS_EXPORTER": "none"}, want: "traces"},
		"all of it":                               {metrics: true, format: "otlp", variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": here}, want: "metrics traces logs"},
		"nothing when all is disabled":            {metrics: true, format: "otlp", variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": here, "OTEL_SDK_DISABLED": "true"}, want: ""},
		"a sampler":                               {format: "otlp", variables: map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, want: "traces logs"},
	} {
		t.Run(name, func(t *testing.T) {
			environment := otelEnvironment{getenv: func(name string) string { return tc.variables[name] }}
			got, err := environment.pushed(tc.metrics, tc.format)
			if err != nil {
				t.Fatal(err)
			}
			if words := signals(got); words != tc.want {
				t.Errorf("got %q, want %q", words, tc.want)
			}
		})
	}
}

// signals names what is pushed.
func signals(config telemetry.PushConfig) string {
	var words []string
	if config.Metrics {
		words = append(words, "metrics")
	}
	if config.Traces {
		words = append(words, "traces")
	}
	if config.Logs {
		words = append(words, "logs")
	}
	return strings.Join(words, " ")
}

func TestWrongOpenTelemetryVariables(t *testing.T) {
	for name, tc := range map[string]struct{ variable, value, want string }{
		"endpoint without a scheme":   {"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", `OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4317"; allowed are URLs such as http://`},
		"endpoint of a signal":        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x", `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is "ftp://x"`},
		"protocol":                    {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", `OTEL_EXPORTER_OTLP_PROTOCOL is "http/protobuf"; allowed is grpc`},
		"compression":                 {"OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "allowed are gzip and none"},
		"insecure":                    {"OTEL_EXPORTER_OTLP_INSECURE", "maybe", "allowed are true and false"},
		"timeout":                     {"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "10s", `OTEL_EXPORTER_OTLP_LOGS_TIMEOUT is "10s"; allowed are milliseconds`},
		"exporter":                    {"OTEL_TRACES_EXPORTER", "jaeger", `OTEL_TRACES_EXPORTER is "jaeger"; allowed are otlp and none`},
		"authority that is not there": {"OTEL_EXPORTER_OTLP_CERTIFICATE", "absent", "OTEL_EXPORTER_OTLP_CERTIFICATE: not there"},
		"authority that is none":      {"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "empty", "empty holds no certificate in PEM"},
		"half a pair":                 {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "empty", "go together"},
		"sampler":                     {"OTEL_TRACES_SAMPLER", "jaeger_remote", `OTEL_TRACES_SAMPLER is "jaeger_remote"; allowed are always_on`},
		"a sampler's ratio":           {"OTEL_TRACES_SAMPLER_ARG", "2", `OTEL_TRACES_SAMPLER_ARG is "2"; allowed are numbers from 0 to 1`},
	} {
		t.Run(name, func(t *testing.T) {
			variables := map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", tc.variable: tc.value}
			environment := otelEnvironment{
				getenv: func(name string) string { return variables[name] },
				readFile: func(path string) ([]byte, error) {
					if path == "absent" {
						return nil, errors.New("not there")
					}
					return nil, nil
				},
			}
			if _, err := environment.pushed(false, "otlp"); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}
