package evaluation

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// settingsCase is a question about settings and what is answered.
type settingsCase struct {
	settings  string
	elsewhere bool // the digest is that of another module
	want      contract.SettingsAnswer
	wantKind  ErrorKind
	wantErr   string
}

func TestSettingsAreCheckedByLoadedModulesOnly(t *testing.T) {
	for name, tc := range map[string]settingsCase{
		"good":                      {settings: `{"say":"good"}`, want: contract.SettingsAnswer{Valid: true}},
		"none":                      {settings: `null`, want: contract.SettingsAnswer{Valid: true}},
		"bad":                       {settings: `{"say":"bad"}`, want: contract.SettingsAnswer{Message: "bad is not good"}},
		"bad without a word":        {settings: `{"say":"mute"}`, want: contract.SettingsAnswer{Message: "no message"}},
		"a guest that breaks":       {settings: `{"say":"break"}`, want: contract.SettingsAnswer{Message: "broke"}},
		"a guest that takes long":   {settings: `{"say":"hang"}`, wantKind: KindUnavailable, wantErr: "the module did not check the settings within 2s"},
		"a host that breaks":        {settings: `{"say":"internal"}`, wantKind: KindInternal, wantErr: "host broke"},
		"a module that is not here": {settings: `{}`, elsewhere: true, wantKind: KindUnknownModule, wantErr: "is loaded"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { tc.check(w.t, w) })
		})
	}
}

func (tc settingsCase) check(t *testing.T, w *world) {
	t.Helper()
	w.serve("one", "one")
	w.applyAndWait(entries(contract.Policies{"a": {Module: "one"}}))
	digest := w.Snapshot().Digests["a"]
	if tc.elsewhere {
		digest = "sha256:" + strings.Repeat("0", 64)
	}
	check, err := NewSettingsCheck(digest, contract.SettingsQuestion{PolicyID: "new", Settings: json.RawMessage(tc.settings)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got, err := w.loader.CheckSettings(t.Context(), check)
	if diff := cmp.Diff(tc.want, got); diff != "" {
		t.Errorf("answer; -want +got:\n%s", diff)
	}
	checkError(t, err, tc.wantKind, tc.wantErr)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s, want no longer than an evaluation may", took)
	}
	if got := w.fetches(); got != 1 || len(w.compiled) != 1 {
		t.Errorf("got %d fetches and %d compiled modules, want those of the policy alone", got, len(w.compiled))
	}
}

// checkError wants an *Error of a kind with a text, or none for "".
func checkError(t *testing.T, err error, kind ErrorKind, text string) {
	t.Helper()
	failure, _ := errors.AsType[*Error](err)
	switch {
	case text == "" && err != nil:
		t.Error(err)
	case text != "" && (failure == nil || failure.Kind != kind || !strings.Contains(err.Error(), text)):
		t.Errorf("got error %v, want one of kind %d with %q", err, kind, text)
	}
}

// A check counts as a user of its module, and gives it back.
func TestSettingsCheckLetsModulesGo(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "one"}}))
		check, err := NewSettingsCheck(w.Snapshot().Digests["a"], contract.SettingsQuestion{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.loader.CheckSettings(t.Context(), check); err != nil {
			t.Fatal(err)
		}
		w.applyAndWait(entries(contract.Policies{}))
		if !w.module(t, "one").closed.Load() {
			t.Error("the module is not closed though nothing uses it")
		}
		failure, is := errors.AsType[*Error](func() error { _, err := w.loader.CheckSettings(t.Context(), check); return err }())
		if !is || failure.Kind != KindUnknownModule {
			t.Errorf("got %v from a module that is gone, want KindUnknownModule", failure)
		}
	})
}

func TestSettingsCheckRefusesCapabilitiesThatCannotBeRead(t *testing.T) {
	_, err := NewSettingsCheck("sha256:0", contract.SettingsQuestion{HostCapabilities: []string{"oci/*/x"}})
	if err == nil || !strings.Contains(err.Error(), "hostCapabilities: ") || !strings.Contains(err.Error(), "oci/*/x") {
		t.Errorf("got %v, want an error that names the field and the value", err)
	}
}
