package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

// What OpenTelemetry's variables begin with, and the endpoint where nothing is set:
// upstream's, the collector beside the server.
const (
	otelExporter        = "OTEL_EXPORTER_OTLP_"
	otelDefaultEndpoint = "http://localhost:4317"
)

// flushTimeout bounds the sending of the last telemetry when the process ends.
const flushTimeout = 5 * time.Second

// otelEnvironment reads the variables of OpenTelemetry. The libraries read them, too, but
// go on with their defaults when one is wrong; here that is an error.
type otelEnvironment struct {
	getenv   func(string) string
	readFile func(string) ([]byte, error)
}

// pushed decides what is pushed: metrics with --enable-metrics where a collector is named,
// traces and logs with --log-fmt otlp or where a collector is named for them in particular.
// OTEL_METRICS_EXPORTER and its like switch a signal on or off whatever else is said.
func (e otelEnvironment) pushed(enableMetrics bool, logFormat string) (telemetry.PushConfig, error) {
	config := telemetry.PushConfig{Host: e.getenv("HOSTNAME"), Version: version, Now: time.Now}
	if strings.EqualFold(e.getenv("OTEL_SDK_DISABLED"), "true") {
		return config, nil
	}
	named := e.getenv(otelExporter+"ENDPOINT") != ""
	otlp := logFormat == telemetry.FormatOTLP
	for _, signal := range []struct {
		name string
		on   bool
		to   *bool
	}{
		{"METRICS", enableMetrics && (named || e.named("METRICS")), &config.Metrics},
		{"TRACES", otlp || e.named("TRACES"), &config.Traces},
		{"LOGS", otlp || e.named("LOGS"), &config.Logs},
	} {
		var err error
		if *signal.to, err = e.chosen(signal.name, signal.on); err != nil {
			return config, err
		}
		if !*signal.to {
			continue
		}
		for _, prefix := range []string{otelExporter, otelExporter + signal.name + "_"} {
			if err := e.check(prefix); err != nil {
				return config, err
			}
		}
	}
	config.Metrics = config.Metrics && enableMetrics
	if config.Traces {
		return config, e.checkSampler()
	}
	return config, nil
}

// named says whether a collector is named for one signal.
func (e otelEnvironment) named(signal string) bool {
	return e.getenv(otelExporter+signal+"_ENDPOINT") != ""
}

// chosen says whether a signal is pushed, given whether it would be without the variable.
func (e otelEnvironment) chosen(signal string, otherwise bool) (bool, error) {
	variable := "OTEL_" + signal + "_EXPORTER"
	switch value := strings.ToLower(e.getenv(variable)); {
	case value == "":
		return otherwise, nil
	case value == "otlp":
		return true, nil
	case value == "none", value == "prometheus" && signal == "METRICS":
		return false, nil
	default:
		return false, fmt.Errorf("environment variable %s is %q; allowed are otlp and none", variable, value)
	}
}

// check looks at the variables of one prefix.
func (e otelEnvironment) check(prefix string) error {
	if value := e.getenv(prefix + "ENDPOINT"); value != "" {
		target, err := url.Parse(value)
		if err != nil || (target.Scheme != "http" && target.Scheme != "https") || target.Host == "" {
			return fmt.Errorf("environment variable %sENDPOINT is %q; allowed are URLs such as http://collector:4317 or https://collector:4317", prefix, value)
		}
	}
	if value := e.getenv(prefix + "PROTOCOL"); value != "" && value != "grpc" {
		return fmt.Errorf("environment variable %sPROTOCOL is %q; allowed is grpc", prefix, value)
	}
	if value := e.getenv(prefix + "COMPRESSION"); value != "" && value != "gzip" && value != "none" {
		return fmt.Errorf("environment variable %sCOMPRESSION is %q; allowed are gzip and none", prefix, value)
	}
	if value := e.getenv(prefix + "INSECURE"); value != "" && !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		return fmt.Errorf("environment variable %sINSECURE is %q; allowed are true and false", prefix, value)
	}
	if value := e.getenv(prefix + "TIMEOUT"); value != "" {
		if milliseconds, err := strconv.Atoi(value); err != nil || milliseconds < 1 {
			return fmt.Errorf("environment variable %sTIMEOUT is %q; allowed are milliseconds, 1 and more", prefix, value)
		}
	}
	return e.checkFiles(prefix)
}

// checkFiles looks at the certificates of one prefix.
func (e otelEnvironment) checkFiles(prefix string) error {
	if path := e.getenv(prefix + "CERTIFICATE"); path != "" {
		content, err := e.readFile(path)
		if err != nil {
			return fmt.Errorf("environment variable %sCERTIFICATE: %w", prefix, err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(content) {
			return fmt.Errorf("environment variable %sCERTIFICATE: %s holds no certificate in PEM", prefix, path)
		}
	}
	certificate, key := e.getenv(prefix+"CLIENT_CERTIFICATE"), e.getenv(prefix+"CLIENT_KEY")
	if certificate == "" && key == "" {
		return nil
	}
	if certificate == "" || key == "" {
		return fmt.Errorf("environment variables %sCLIENT_CERTIFICATE and %sCLIENT_KEY go together; one of them is not set", prefix, prefix)
	}
	var pair [2][]byte
	for i, path := range []string{certificate, key} {
		content, err := e.readFile(path)
		if err != nil {
			return fmt.Errorf("environment variables %sCLIENT_CERTIFICATE and %sCLIENT_KEY: %w", prefix, prefix, err)
		}
		pair[i] = content
	}
	if _, err := tls.X509KeyPair(pair[0], pair[1]); err != nil {
		return fmt.Errorf("environment variables %sCLIENT_CERTIFICATE and %sCLIENT_KEY: %w", prefix, prefix, err)
	}
	return nil
}

// samplers are the values of OTEL_TRACES_SAMPLER; true where OTEL_TRACES_SAMPLER_ARG is a ratio.
var samplers = map[string]bool{
	"always_on": false, "always_off": false, "traceidratio": true,
	"parentbased_always_on": false, "parentbased_always_off": false, "parentbased_traceidratio": true,
}

func (e otelEnvironment) checkSampler() error {
	name := strings.ToLower(strings.TrimSpace(e.getenv("OTEL_TRACES_SAMPLER")))
	hasRatio, known := samplers[name]
	if name != "" && !known {
		return fmt.Errorf("environment variable OTEL_TRACES_SAMPLER is %q; allowed are always_on, always_off, traceidratio, "+
			"and each of them with parentbased_ before it", name)
	}
	argument := strings.TrimSpace(e.getenv("OTEL_TRACES_SAMPLER_ARG"))
	if !hasRatio || argument == "" {
		return nil
	}
	if ratio, err := strconv.ParseFloat(argument, 64); err != nil || ratio < 0 || ratio > 1 {
		return fmt.Errorf("environment variable OTEL_TRACES_SAMPLER_ARG is %q; allowed are numbers from 0 to 1", argument)
	}
	return nil
}

// setDefault tells the libraries where the collector is when no variable does. Their own
// default is the same place, but with TLS.
func (e otelEnvironment) setDefault() error {
	if e.getenv(otelExporter+"ENDPOINT") != "" {
		return nil
	}
	return os.Setenv(otelExporter+"ENDPOINT", otelDefaultEndpoint)
}
