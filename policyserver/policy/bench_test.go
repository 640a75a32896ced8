package policy_test

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// BenchmarkValidate is one request to a policy, instance and all: waPC guests in Go, one in
// Rego, and a WASI command.
func BenchmarkValidate(b *testing.B) {
	const labels = `{"mandatory_labels":["team"],"constrained_labels":{"team":"^[a-z]+$"}}`
	const limits = `{"cpu":"64","memory":"1Ti","exempt_images":["registry.example/app:*"]}`
	const registries = `{"registries":["registry.example"]}`
	for _, bench := range []struct {
		name     string
		guest    []byte
		settings string
		bytes    int
	}{
		{"accepting", wasmtest.Accepting(), `{}`, 5_000},
		{"pod-privileged/5KB", policiestest.Module(b, "pod-privileged"), `{}`, 5_000},
		{"pod-privileged/50KB", policiestest.Module(b, "pod-privileged"), `{}`, 50_000},
		{"required-labels/5KB", policiestest.Module(b, "required-labels"), labels, 5_000},
		{"required-labels/50KB", policiestest.Module(b, "required-labels"), labels, 50_000},
		{"container-limits/5KB", policiestest.Module(b, "container-limits"), limits, 5_000},
		{"trusted-registries/5KB", policiestest.Module(b, "trusted-registries"), registries, 5_000},
	} {
		b.Run(bench.name, func(b *testing.B) {
			module := compile(b, newEngine(b, policy.Config{}), bench.guest)
			call := policy.Call{PolicyID: "kw.cap.bench", Settings: json.RawMessage(bench.settings)}
			request := admission(bench.bytes, false, `{"team":"alpha"}`)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				response, err := module.Validate(b.Context(), call, request)
				if err != nil || !response.Accepted {
					b.Fatalf("got %+v, %v", response, err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// cpuTime is what this process has used. Unlike the clock it does not count the machine's
// other work.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkCompile is the loading of a module: cold, and from the compilation cache.
func BenchmarkCompile(b *testing.B) {
	guest := policiestest.Module(b, "pod-privileged")
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			if err := compile(b, newEngine(b, policy.Config{}), guest).Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		config := policy.Config{CacheDir: b.TempDir() + "/cache"}
		compile(b, newEngine(b, config), guest)
		for b.Loop() {
			compile(b, newEngine(b, config), guest)
		}
	})
}
