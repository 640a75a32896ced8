package render

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestLastGoodHoldsToItsRoom(t *testing.T) {
	digest := "sha256:" + strings.Repeat("1", 64)
	good := map[string]contract.LastGood{}
	for _, id := range []string{"kw.ap.a.one", "kw.cap.two", "kw.cap.three", "kw.apg.b.four"} {
		good[id] = contract.LastGood{
			UID: "u", Revision: "r", Module: "m", ModuleDigest: digest, Settings: json.RawMessage(`{"x":"` + strings.Repeat("x", 1000) + `"}`),
		}
	}
	big := good["kw.cap.three"]
	big.Settings = json.RawMessage(`{"x":"` + strings.Repeat("x", 9000) + `"}`)
	good["kw.cap.three"] = big
	for room, want := range map[int]string{
		100_000: "kw.ap.a.one kw.apg.b.four kw.cap.three kw.cap.two",
		// What is large makes place for what is small, and namespaced policies for cluster-wide ones.
		4000: "kw.ap.a.one kw.apg.b.four kw.cap.two",
		1300: "kw.cap.two",
		100:  "",
		-1:   "",
	} {
		encoded, err := encodeLastGood(good, room)
		if err != nil {
			t.Fatal(err)
		}
		if len(encoded) > max(room, 0) {
			t.Errorf("room %d: got %d bytes", room, len(encoded))
		}
		decoded, refused, err := contract.DecodeLastGood([]byte(encoded))
		if err != nil || len(refused) > 0 {
			t.Fatalf("got refusals %v, error %v", refused, err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(decoded)), " "); got != want {
			t.Errorf("room %d: got %q, want %q", room, got, want)
		}
	}
}
