package policy_test

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// An engine tells what it compiled from what an earlier process had left in the cache.
func TestStatsTellWhatTheCompilationCacheHad(t *testing.T) {
	config := policy.Config{CacheDir: t.TempDir() + "/cache"}
	for _, step := range []struct {
		name                string
		modules             [][]byte
		compiled, fromCache uint64
	}{
		{"an empty cache", [][]byte{wasmtest.Accepting(), wasmtest.Answering(`{"accepted":true}`)}, 2, 0},
		{"a cache that has some", [][]byte{wasmtest.Accepting(), wasmtest.Answering(`{"accepted":false}`)}, 2, 1},
		{"a cache that has all", [][]byte{wasmtest.Answering(`{"accepted":false}`), wasmtest.Answering(`{"accepted":true}`)}, 2, 2},
	} {
		engine := newEngine(t, config)
		for _, module := range step.modules {
			compile(t, engine, module)
		}
		if _, err := engine.Compile(t.Context(), []byte("no module")); err == nil {
			t.Error("compiled what is no module")
		}
		stats := engine.Stats()
		if stats.Compiled != step.compiled || stats.FromCache != step.fromCache || stats.CompileTime <= 0 {
			t.Errorf("%s: got %d modules, %d from the cache, in %v, want %d and %d", step.name,
				stats.Compiled, stats.FromCache, stats.CompileTime, step.compiled, step.fromCache)
		}
	}
}

func TestStatsWithoutACacheDirectory(t *testing.T) {
	engine := newEngine(t, policy.Config{})
	compile(t, engine, wasmtest.Accepting())
	if stats := engine.Stats(); stats.Compiled != 1 || stats.FromCache != 0 {
		t.Errorf("got %d modules, %d from the cache, want 1 and 0", stats.Compiled, stats.FromCache)
	}
}
