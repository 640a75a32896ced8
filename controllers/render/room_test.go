package render_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// sized is an entry that takes about so many bytes; the version tells entries apart.
func sized(bytes int, version string) contract.Entry {
	const frame = 210 // what an entry takes without its settings, and with a pin
	padding := max(0, bytes-frame-len(version))
	return contract.Entry{
		Module: "r.test/m:v1", Settings: json.RawMessage(fmt.Sprintf(`{"v":%q,"x":%q}`, version, strings.Repeat("x", padding))),
	}
}

// candidate is made from "namespace/name" or "name", its age in minutes and its size.
func candidate(name string, age, bytes int, version string) render.Candidate {
	namespace, short, found := strings.Cut(name, "/")
	id := contract.AdmissionPolicyID(namespace, short)
	if !found {
		namespace, id = "", contract.ClusterAdmissionPolicyID(name)
	}
	return render.Candidate{
		ID: id, Namespace: namespace, Entry: sized(bytes, version),
		Created: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Add(-time.Duration(age) * time.Minute),
	}
}

func reborn(entry contract.Entry) contract.Entry {
	entry.UID = "another"
	return entry
}

func versionOf(t *testing.T, entry contract.Entry) string {
	t.Helper()
	var settings struct {
		V string `json:"v"`
	}
	if err := json.Unmarshal(entry.Settings, &settings); err != nil {
		t.Fatal(err)
	}
	return settings.V
}

func versions(t *testing.T, policies contract.Policies) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for id, entry := range policies {
		versions[id] = versionOf(t, entry)
	}
	return versions
}

func TestFit(t *testing.T) {
	const kib = 1 << 10
	was := func(of render.Candidate) contract.Policies { return contract.Policies{of.ID: of.Entry} }
	tests := map[string]struct {
		candidates []render.Candidate
		former     contract.Policies
		room       int
		want       map[string]string // ID to version
		refused    []string
	}{
		"room for all": {
			candidates: []render.Candidate{candidate("a", 1, kib, "1"), candidate("t/b", 2, kib, "1")},
			room:       3 * kib, want: map[string]string{"kw.cap.a": "1", "kw.ap.t.b": "1"},
		},
		"a namespaced one goes before a cluster-wide one that is newer": {
			candidates: []render.Candidate{candidate("t/b", 9, kib, "1"), candidate("a", 1, kib, "1")},
			room:       3 * kib / 2, want: map[string]string{"kw.cap.a": "1"}, refused: []string{"kw.ap.t.b"},
		},
		"even one that was served": {
			candidates: []render.Candidate{candidate("t/b", 9, kib, "1"), candidate("a", 1, kib, "1")},
			former:     was(candidate("t/b", 9, kib, "1")),
			room:       3 * kib / 2, want: map[string]string{"kw.cap.a": "1"}, refused: []string{"kw.ap.t.b"},
		},
		"the namespace that uses most": {
			candidates: []render.Candidate{
				candidate("much/a", 9, 2*kib, "1"), candidate("much/b", 8, 2*kib, "1"), candidate("little/c", 1, kib, "1"),
			},
			room: 4 * kib, want: map[string]string{"kw.ap.much.a": "1", "kw.ap.little.c": "1"}, refused: []string{"kw.ap.much.b"},
		},
		"the newest": {
			candidates: []render.Candidate{candidate("t/new", 1, kib, "1"), candidate("t/old", 9, kib, "1"), candidate("t/older", 10, kib, "1")},
			room:       5 * kib / 2, want: map[string]string{"kw.ap.t.old": "1", "kw.ap.t.older": "1"}, refused: []string{"kw.ap.t.new"},
		},
		"of cluster-wide ones the newest": {
			candidates: []render.Candidate{candidate("new", 1, kib, "1"), candidate("old", 9, kib, "1")},
			room:       3 * kib / 2, want: map[string]string{"kw.cap.old": "1"}, refused: []string{"kw.cap.new"},
		},
		"an edit that does not fit leaves what was": {
			candidates: []render.Candidate{candidate("old", 9, kib, "1"), candidate("grown", 1, 3*kib, "2")},
			former:     was(candidate("grown", 1, kib, "1")),
			room:       5 * kib / 2, want: map[string]string{"kw.cap.old": "1", "kw.cap.grown": "1"}, refused: []string{"kw.cap.grown"},
		},
		"a namespaced one has no room while a cluster-wide one wants more": {
			candidates: []render.Candidate{candidate("t/small", 9, 400, "1"), candidate("old", 9, kib, "1"), candidate("grown", 1, 3*kib, "2")},
			former:     contract.Policies{"kw.cap.grown": sized(kib, "1"), "kw.ap.t.small": sized(400, "1")},
			room:       3 * kib, want: map[string]string{"kw.cap.old": "1", "kw.cap.grown": "1"}, refused: []string{"kw.cap.grown", "kw.ap.t.small"},
		},
		"too large for any server": {
			candidates: []render.Candidate{candidate("huge", 9, render.MaxEntryBytes+kib, "1"), candidate("t/b", 1, kib, "1")},
			room:       render.MaxEntryBytes * 4, want: map[string]string{"kw.ap.t.b": "1"}, refused: []string{"kw.cap.huge"},
		},
		"an edit that is too large for any server leaves what was": {
			candidates: []render.Candidate{candidate("huge", 9, render.MaxEntryBytes+kib, "2")},
			former:     was(candidate("huge", 9, kib, "1")),
			room:       render.MaxEntryBytes * 4, want: map[string]string{"kw.cap.huge": "1"}, refused: []string{"kw.cap.huge"},
		},
		"what was has room before what is new": {
			candidates: []render.Candidate{candidate("huge", 9, render.MaxEntryBytes+kib, "2"), candidate("new", 1, kib, "1")},
			former:     was(candidate("huge", 9, kib, "1")),
			room:       3 * kib / 2, want: map[string]string{"kw.cap.huge": "1"}, refused: []string{"kw.cap.huge", "kw.cap.new"},
		},
		"a policy that was made again inherits nothing": {
			candidates: []render.Candidate{candidate("huge", 9, render.MaxEntryBytes+kib, "2")},
			former:     contract.Policies{"kw.cap.huge": reborn(sized(kib, "1"))},
			room:       render.MaxEntryBytes * 4, want: map[string]string{}, refused: []string{"kw.cap.huge"},
		},
		"no room at all": {
			candidates: []render.Candidate{candidate("a", 1, kib, "1")},
			former:     was(candidate("a", 1, kib, "1")), want: map[string]string{}, refused: []string{"kw.cap.a"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			fitted, err := render.Fit(tc.candidates, tc.former, tc.room)
			if err != nil {
				t.Fatal(err)
			}
			got := versions(t, fitted.Policies)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected policies (-want +got):\n%s", diff)
			}
			slices.Sort(tc.refused)
			if diff := cmp.Diff(tc.refused, slices.Sorted(maps.Keys(fitted.Refused)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unexpected refusals (-want +got):\n%s", diff)
			}
			for id, refused := range fitted.Refused {
				if refused.TooLarge() != strings.HasSuffix(id, ".huge") || refused.Room != tc.room {
					t.Errorf("%s: got %+v", id, refused)
				}
			}
		})
	}
}

// crowd is a random crowd of policies, of which some were served before, and some are too
// large; and the room that there is for it.
func crowd(random *rand.Rand) (candidates []render.Candidate, former contract.Policies, room int) {
	former = contract.Policies{}
	for i := range 1 + random.IntN(25) {
		name := fmt.Sprintf("p%d", i)
		if namespace := random.IntN(4); namespace > 0 {
			name = fmt.Sprintf("t%d/%s", namespace, name)
		}
		bytes := 300 + random.IntN(4000)
		if random.IntN(8) == 0 {
			bytes = render.MaxEntryBytes + random.IntN(2000)
		}
		one := candidate(name, random.IntN(8), bytes, "wanted")
		candidates = append(candidates, one)
		switch random.IntN(3) {
		case 0:
			former[one.ID] = one.Entry
		case 1:
			former[one.ID] = sized(300+random.IntN(4000), "former")
		}
	}
	return candidates, former, random.IntN(40000)
}

func TestFitHoldsItsRules(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		candidates, former, room := crowd(random)
		fitted, err := render.Fit(candidates, former, room)
		if err != nil {
			t.Fatal(err)
		}
		checkRoom(t, fitted, room)
		checkOrder(t, candidates, fitted)
		again, err := render.Fit(candidates, fitted.Policies, room)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(fitted, again) {
			t.Errorf("the same again gives something else (-first +second):\n%s", cmp.Diff(fitted, again))
		}
		random.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		shuffled, err := render.Fit(candidates, former, room)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(fitted, shuffled) {
			t.Errorf("the order of the candidates counts (-before +after):\n%s", cmp.Diff(fitted, shuffled))
		}
		if t.Failed() {
			t.Fatalf("seed %d, room %d", seed, room)
		}
	}
}

func checkRoom(t *testing.T, fitted render.Fitted, room int) {
	t.Helper()
	file, err := contract.EncodePolicies(pinAll(fitted.Policies))
	if err != nil {
		t.Fatal(err)
	}
	if len(fitted.Policies) > 0 && len(file) > room+1 { // two braces, less a comma
		t.Errorf("policies.yml has %d bytes once all is pinned, want at most %d", len(file), room)
	}
}

func pinAll(policies contract.Policies) contract.Policies {
	pinned := contract.Policies{}
	for id, entry := range policies {
		pinned[id] = render.Pin(entry, map[string]string{"": digestA})
	}
	return pinned
}

// checkOrder checks who was refused: wanted entries only, since who keeps a former entry
// takes what others left.
func checkOrder(t *testing.T, candidates []render.Candidate, fitted render.Fitted) {
	t.Helper()
	accepted, clusterWideRefused := map[string]int{}, false
	bytes := measured(t, candidates)
	for _, one := range candidates {
		refused, isRefused := fitted.Refused[one.ID]
		checkEntry(t, one, fitted)
		if !isRefused {
			accepted[one.Namespace] += bytes[one.ID]
		}
		clusterWideRefused = clusterWideRefused || isRefused && one.Namespace == "" && !refused.TooLarge()
	}
	for _, one := range candidates {
		if _, has := fitted.Policies[one.ID]; clusterWideRefused && has && one.Namespace != "" {
			t.Errorf("%s has room while a cluster-wide policy has not what it wants", one.ID)
		}
		if refused, isRefused := fitted.Refused[one.ID]; !isRefused || refused.TooLarge() {
			continue
		}
		checkNewest(t, one, candidates, fitted)
		if one.Namespace != "" && oldestRefused(candidates, fitted, one) {
			usage := accepted[one.Namespace] + bytes[one.ID] + tooLarge(candidates, fitted, one.Namespace)
			checkMost(t, one, usage, accepted)
		}
	}
}

// checkMost checks that no other namespace uses more than that of one that was refused.
func checkMost(t *testing.T, one render.Candidate, usage int, accepted map[string]int) {
	t.Helper()
	for namespace, other := range accepted {
		if namespace != "" && usage < other {
			t.Errorf("%s is refused, and namespace %s uses more", one.ID, namespace)
		}
	}
}

// measured is what each candidate asks for, by ID.
func measured(t *testing.T, candidates []render.Candidate) map[string]int {
	t.Helper()
	bytes := map[string]int{}
	for _, one := range candidates {
		encoded, err := contract.EncodePolicies(pinAll(contract.Policies{one.ID: one.Entry}))
		if err != nil {
			t.Fatal(err)
		}
		bytes[one.ID] = len(encoded)
	}
	return bytes
}

// checkEntry checks that a candidate has what it wants, or is refused and has what it had.
func checkEntry(t *testing.T, one render.Candidate, fitted render.Fitted) {
	t.Helper()
	_, isRefused := fitted.Refused[one.ID]
	entry, has := fitted.Policies[one.ID]
	switch {
	case !isRefused && !has:
		t.Errorf("%s is neither refused nor served", one.ID)
	case !isRefused && versionOf(t, entry) != "wanted":
		t.Errorf("%s is not refused and has version %s", one.ID, versionOf(t, entry))
	case isRefused && has && versionOf(t, entry) != "former" && !reflect.DeepEqual(entry, one.Entry):
		t.Errorf("%s is refused and has version %s", one.ID, versionOf(t, entry))
	}
}

// checkNewest checks that nobody of the same namespace is newer than one that was refused
// and was not.
func checkNewest(t *testing.T, one render.Candidate, candidates []render.Candidate, fitted render.Fitted) {
	t.Helper()
	for _, other := range candidates {
		_, isRefused := fitted.Refused[other.ID]
		if !isRefused && one.Namespace == other.Namespace && older(one, other) {
			t.Errorf("%s is refused, and the newer %s is not", one.ID, other.ID)
		}
	}
}

func older(a, b render.Candidate) bool {
	return a.Created.Before(b.Created) || a.Created.Equal(b.Created) && a.ID < b.ID
}

// oldestRefused says whether no older policy of the namespace was refused for want of room.
func oldestRefused(candidates []render.Candidate, fitted render.Fitted, one render.Candidate) bool {
	return !slices.ContainsFunc(candidates, func(other render.Candidate) bool {
		refused, isRefused := fitted.Refused[other.ID]
		return isRefused && !refused.TooLarge() && other.Namespace == one.Namespace && older(other, one)
	})
}

// tooLarge is what policies of a namespace that are too large for any server may use: their
// former entries.
func tooLarge(candidates []render.Candidate, fitted render.Fitted, namespace string) int {
	sum := 0
	for _, one := range candidates {
		if refused := fitted.Refused[one.ID]; one.Namespace == namespace && refused.TooLarge() {
			sum += 5000
		}
	}
	return sum
}

func TestFitRefusesSettingsThatAreNoJSON(t *testing.T) {
	broken := render.Candidate{ID: "kw.cap.a", Entry: contract.Entry{Module: "m", Settings: json.RawMessage("{")}}
	if _, err := render.Fit([]render.Candidate{broken}, nil, 1000); err == nil {
		t.Error("got no error, want one")
	}
}
