package evaluation

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestModulesLoadASourceOnceHoweverLateACallerComes(t *testing.T) {
	w := newWorld(t)
	w.serve("m", "m")
	fetcher := w.loader.config.FetcherFor(contract.Sources{}, nil)
	from := source{url: "m"}
	for range 2 { // the second is a caller who looked before the first was done
		if err := w.loader.modules.load(t.Context(), from, fetcher); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.compiled) != 1 || w.fetches() != 1 {
		t.Errorf("got %d modules out of %d fetches, want one of each", len(w.compiled), w.fetches())
	}
}
