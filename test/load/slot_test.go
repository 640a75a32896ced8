package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

func TestWhatMayBeAnsweredWhen(t *testing.T) {
	start := time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	settings, err := newSlot("a", requiredLabels("a", 1, 0), requiredLabels("a", 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	visitor, err := newSlot("b", requiredLabels("b", 1, 0), fixture{id: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range []*slot{settings, visitor} {
		slot.turn(at(0))
		slot.turn(at(14))
	}
	missing := denied(`mandatory label "team-1-1" is missing`)
	for name, tc := range map[string]struct {
		slot           *slot
		sent, answered float64
		want           []outcome
	}{
		"long before any change":          {settings, -9, -8, []outcome{allowed}},
		"answered just before the change": {settings, -1, -0.1, []outcome{allowed}},
		"under way during the change":     {settings, -1, 0.1, []outcome{allowed, missing}},
		"soon after the change":           {settings, 4.9, 5, []outcome{allowed, missing}},
		"late after the change":           {settings, 5.1, 5.2, []outcome{missing}},
		"changed back":                    {settings, 26, 27, []outcome{allowed}},
		"slow enough to see both changes": {settings, 4, 15, []outcome{allowed, missing, allowed}},
		"soon after it went":              {visitor, 1, 1, []outcome{allowed, notFound, beingLoaded}},
		"long gone":                       {visitor, 10, 10, []outcome{notFound}},
		"soon after it came":              {visitor, 15, 15, []outcome{notFound, allowed, beingLoaded}},
		"there again":                     {visitor, 30, 30, []outcome{allowed}},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.slot.possible(tc.slot.requests[0], at(tc.sent), at(tc.answered))
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestOldChangesAreForgotten(t *testing.T) {
	slot, err := newSlot("a", requiredLabels("a", 1, 0), requiredLabels("a", 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC)
	for second := range 1000 {
		slot.turn(start.Add(time.Duration(second) * time.Second))
	}
	if most := int((grace + floor.RequestTimeout) / time.Second); len(slot.history) > most+3 || len(slot.history) < most {
		t.Errorf("%d changes are remembered, want about %d", len(slot.history), most)
	}
}

func TestVariantsOfASlotKnowTheSameRequests(t *testing.T) {
	if _, err := newSlot("a", requiredLabels("a", 1, 0), noNodePort("a", 1, 0)); err == nil || !strings.Contains(err.Error(), "policy a") {
		t.Errorf("got %v, want an error that names the policy", err)
	}
}

// A set of policies changes as it is meant to, and is always one that a server can read but
// for the file that is none.
func TestChurn(t *testing.T) {
	c := config{policies: 20, soak: true, modules: "/modules"}
	set, err := newChurn(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got := set.cycle(); got != 34*time.Second {
		t.Errorf("a cycle takes %s, want 34s", got)
	}
	before, err := os.ReadFile(writtenBy(t, set))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for number := range 2 * len(set.steps) {
		kind, err := set.change(number, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		kinds[kind]++
		checkWritten(t, set, kind)
	}
	if after, err := os.ReadFile(writtenBy(t, set)); err != nil || string(after) != string(before) {
		t.Errorf("after a cycle the policies are others: %v\n%s\n%s", err, before, after)
	}
	for kind, want := range map[string]int{"settings": 24, "comes or goes": 4, "broken or mended": 2, "module missing or not wanted": 2, "unreadable": 2} {
		if kinds[kind] != want {
			t.Errorf("%d changes of kind %q, want %d", kinds[kind], kind, want)
		}
	}
}

// writtenBy writes policies.yml as it is wanted now.
func writtenBy(t *testing.T, set *churn) string {
	t.Helper()
	if err := set.write(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(set.dir, "policies.yml")
}

func checkWritten(t *testing.T, set *churn, kind string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(set.dir, "policies.yml"))
	if err != nil {
		t.Fatal(err)
	}
	policies, refused, err := contract.DecodePolicies(text)
	if kind == "unreadable" {
		if err == nil {
			t.Error("the unreadable file was read")
		}
		return
	}
	if err != nil || len(refused) > 0 {
		t.Fatalf("%s: %v, refused %v", kind, err, refused)
	}
	if _, there := policies[missingID]; there != set.missing {
		t.Errorf("%s: a policy without a module is there: %t, want %t", kind, there, set.missing)
	}
	if broken := strings.Contains(string(policies[brokenID].Settings), "not the key"); broken != set.broken {
		t.Errorf("%s: settings that cannot be: %t, want %t", kind, broken, set.broken)
	}
	for _, slot := range set.slots {
		wanted, there := slot.now()
		entry, written := policies[slot.id]
		if there != written || there && entry.Module != "file:///modules/"+wanted.module+".wasm" {
			t.Errorf("%s: %s is written as %q (%t), want %q (%t)", kind, slot.id, entry.Module, written, wanted.module, there)
		}
	}
}
