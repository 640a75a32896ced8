package render_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestConfigMapNotesRefusals(t *testing.T) {
	in := serverInput()
	refused := map[string]render.RefusedEntry{"kw.cap.a": {Entry: "0123456789ab", Bytes: 7, Room: 6}}
	in.Refused = refused
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := render.DecodeRefused(configMap.Data[render.KeyRefused])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(refused, got); diff != "" {
		t.Errorf("unexpected refusals (-want +got):\n%s", diff)
	}
	if _, err := render.DecodeRefused("]"); err == nil {
		t.Error("got no error for what is no JSON")
	}
	if none, err := render.DecodeRefused(""); err != nil || len(none) > 0 {
		t.Errorf("got %v, error %v; want nothing", none, err)
	}
}

func TestConfigMapHasNoNoteWithoutRefusals(t *testing.T) {
	configMap, err := render.ConfigMap(serverInput())
	if err != nil {
		t.Fatal(err)
	}
	if _, found := configMap.Data[render.KeyRefused]; found {
		t.Error("refusals are noted, and there are none")
	}
}

// TestConfigMapHasRoomForAnyNumberOfPolicies fills a ConfigMap to the brim: the API server
// takes 1 MiB of keys and values.
func TestConfigMapHasRoomForAnyNumberOfPolicies(t *testing.T) {
	in := serverInput(everything)
	const count = 4000
	candidates := make([]render.Candidate, 0, count)
	for i := range count {
		candidates = append(candidates, candidate(fmt.Sprintf("tenant-%d/policy-with-a-long-name-%d", i%7, i), i, 600, "1"))
	}
	room, err := render.PoliciesRoom(in.Server.Spec)
	if err != nil {
		t.Fatal(err)
	}
	fitted, err := render.Fit(candidates, nil, room)
	if err != nil {
		t.Fatal(err)
	}
	in.Policies, in.Refused = pinAll(fitted.Policies), fitted.Refused
	configMap, err := render.ConfigMap(in)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for key, value := range configMap.Data {
		total += len(key) + len(value)
	}
	if used := len(configMap.Data[contract.KeyPolicies]) + len(configMap.Data[contract.KeySources]); used < 700<<10 || used > 720<<10 {
		t.Errorf("what is wanted takes %d bytes, want nearly 720 KiB", used)
	}
	noted, err := render.DecodeRefused(configMap.Data[render.KeyRefused])
	if err != nil {
		t.Fatal(err)
	}
	if len(noted) < 500 || len(noted) >= len(fitted.Refused) {
		t.Errorf("%d of %d refusals are noted, want some of them", len(noted), len(fitted.Refused))
	}
	if most := 1<<20 - 180<<10; total > most {
		t.Errorf("the ConfigMap has %d bytes, want at most %d: copies of entries need room, too", total, most)
	}
}
