package evaluation

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// A policy that is to have instances of its own has a module for them, which goes with it; the
// module that it comes from stays as long as anybody needs it.
func TestPoliciesWithInstancesOfTheirOwn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("m", "m")
		warm := contract.Entry{Module: "m", InstanceMode: contract.InstancesWarm}
		wanted := contract.Policies{
			"kw.cap.shared": {Module: "m"}, "kw.cap.pristine": {Module: "m", InstanceMode: contract.InstancesPristine}, "kw.cap.warm": warm,
			"kw.capg.fresh": {
				InstanceMode: contract.InstancesFresh, Expression: "a() || b()", Message: "neither",
				Policies: map[string]contract.Member{"a": {Module: "m"}, "b": {Module: "m"}},
			},
		}
		w.loader.Apply(entries(wanted))
		synctest.Wait()
		if len(w.compiled) != 1 || len(w.isolated) != 3 {
			w.t.Fatalf("%d modules were compiled and %d isolated, want 1 and 3", len(w.compiled), len(w.isolated))
		}
		for id, want := range map[string]string{
			"kw.cap.shared": "m {}", "kw.cap.pristine": "m {}", "kw.cap.warm": "m warm {}", "kw.capg.fresh/b": "m fresh {}",
		} {
			if got := w.ask(w.t, id); got != want {
				w.t.Errorf("%s answers %q, want %q", id, got, want)
			}
		}
		served := w.set.Load().served["kw.cap.warm"]
		if sizes := served.modulesOf(); len(sizes) != 2 || total(sizes) != int64(len("m")+len("m warm")) {
			w.t.Errorf("got sizes %v, want those of the module and of the policy's instances", sizes)
		}
		w.loader.Apply(entries(contract.Policies{"kw.cap.warm": warm}))
		synctest.Wait()
		if got := w.open(); got != "m, m warm" {
			w.t.Errorf("%s are open, want what the policy uses", got)
		}
		w.loader.Apply(entries(contract.Policies{}))
		synctest.Wait()
		if got := w.open(); got != "" {
			w.t.Errorf("nobody is served and %s are open", got)
		}
	})
}

// open are the modules that nobody has closed.
func (w *world) open() string {
	var open []string
	for _, module := range slices.Concat(w.compiled, w.isolated) {
		if !module.closed.Load() {
			open = append(open, module.content)
		}
	}
	return strings.Join(open, ", ")
}

// A policy that cannot have what it is to have is not loaded, and holds nothing.
func TestPoliciesWithoutInstancesOfTheirOwn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("m", "rigid")
		w.loader.Apply(entries(contract.Policies{"kw.cap.warm": {Module: "m", InstanceMode: contract.InstancesWarm}}))
		synctest.Wait()
		if got, want := w.ask(w.t, "kw.cap.warm"), "bootstrap failure: kw.cap.warm: cannot be isolated"; got != want {
			w.t.Errorf("got %q, want %q", got, want)
		}
		w.loader.Apply(entries(contract.Policies{}))
		synctest.Wait()
		if !w.compiled[0].closed.Load() {
			w.t.Error("the module is open")
		}
	})
}
