package wasm_test

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// BenchmarkRewrite is what loading a module costs on top of the compiler, cached or not.
func BenchmarkRewrite(b *testing.B) {
	binary := policiestest.Module(b, "required-labels")
	b.SetBytes(int64(len(binary)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wasm.Rewrite(binary); err != nil {
			b.Fatal(err)
		}
	}
}
