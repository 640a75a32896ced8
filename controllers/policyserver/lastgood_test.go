package policyserver

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// reporting is a ready replica that serves one entry of a module that it has resolved.
func reporting(t *testing.T, id string, entry contract.Entry, digest string) replicas.Replica {
	t.Helper()
	revision, err := contract.Revision(entry, digest)
	if err != nil {
		t.Fatal(err)
	}
	return replicas.Replica{Ready: true, Report: &contract.Report{
		Policies: map[string]contract.Served{id: {Revision: revision, ModuleDigest: contract.ShortDigest(digest)}},
		Digests:  map[string]string{id: digest},
	}}
}

func TestKeepLastGood(t *testing.T) {
	const id = "kw.cap.a"
	digest := "sha256:" + strings.Repeat("a", 64)
	say := func(text string) contract.Entry {
		return contract.Entry{UID: "u", Module: "r.test/m:v1", ModuleDigest: digest, Settings: json.RawMessage(`{"say":"` + text + `"}`)}
	}
	unpinned := func(entry contract.Entry) contract.Entry {
		entry.ModuleDigest = ""
		return entry
	}
	again := say("new")
	again.UID = "another"
	good := func(entry contract.Entry) *contract.LastGood {
		good, err := contract.NewLastGood(entry, map[string]string{"": digest})
		if err != nil {
			t.Fatal(err)
		}
		return &good
	}
	all := func(entry contract.Entry) replicas.Set {
		return replicas.Set{reporting(t, id, entry, digest), reporting(t, id, entry, digest)}
	}
	mixed := replicas.Set{reporting(t, id, say("old"), digest), reporting(t, id, say("new"), digest)}
	for name, tc := range map[string]struct {
		wanted, former contract.Entry
		held           *contract.LastGood
		replicas       replicas.Set
		want           *contract.LastGood
	}{
		"all serve what is wanted":                         {say("new"), say("new"), good(say("old")), all(say("new")), nil},
		"an edit of what all serve":                        {say("new"), say("old"), nil, all(say("old")), good(say("old"))},
		"an edit of what all serve and none pins":          {unpinned(say("new")), unpinned(say("old")), nil, all(say("old")), good(say("old"))},
		"the edit is on its way":                           {say("new"), say("new"), good(say("old")), mixed, good(say("old"))},
		"the edit was refused":                             {say("new"), say("new"), good(say("old")), all(say("old")), good(say("old"))},
		"a second edit after a refused one":                {say("newer"), say("new"), good(say("old")), all(say("old")), good(say("old"))},
		"a second edit after a good one":                   {say("newer"), say("new"), good(say("old")), all(say("new")), good(say("new"))},
		"an edit that not all have served yet":             {say("newer"), say("new"), good(say("old")), mixed, good(say("old"))},
		"an edit of what was never served by all":          {say("newer"), say("new"), nil, mixed, nil},
		"no replica is ready, nothing is edited":           {say("new"), say("new"), good(say("old")), nil, good(say("old"))},
		"no replica is ready, an edit":                     {say("new"), say("old"), nil, nil, good(say("old"))},
		"no replica is ready, an edit after a refused one": {say("newer"), say("new"), good(say("old")), nil, good(say("old"))},
		"no replica is ready, nothing is known":            {say("new"), say("new"), nil, nil, nil},
		"no replica is ready, no digest is known":          {unpinned(say("new")), unpinned(say("old")), nil, nil, nil},
		"the policy is new":                                {say("new"), contract.Entry{}, nil, all(say("old")), nil},
		"the policy was made again":                        {again, say("old"), good(say("older")), all(say("old")), nil},
		"an edit of another setting of the entry": {say("new"), func() contract.Entry {
			entry := say("old")
			entry.Message = "m"
			return entry
		}(), nil, all(say("old")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := &state{
				policies: contract.Policies{id: tc.wanted}, replicas: tc.replicas,
				configured: configured.Configuration{Policies: contract.Policies{id: tc.former}},
			}
			if tc.held != nil {
				s.configured.LastGood = map[string]contract.LastGood{id: *tc.held}
			}
			if err := s.keepLastGood(); err != nil {
				t.Fatal(err)
			}
			want := map[string]contract.LastGood{}
			if tc.want != nil {
				want[id] = *tc.want
			}
			if diff := cmp.Diff(want, s.lastGood, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestKeepLastGoodOfAGroup(t *testing.T) {
	const id = "kw.capg.g"
	digests := map[string]string{"a": "sha256:" + strings.Repeat("a", 64), "b": "sha256:" + strings.Repeat("b", 64)}
	group := func(expression string) contract.Entry {
		return contract.Entry{UID: "u", Expression: expression, Message: "m", Policies: map[string]contract.Member{
			"a": {Module: "r.test/a:v1", ModuleDigest: digests["a"]}, "b": {Module: "https://h.test/b.wasm"},
		}}
	}
	replica := reporting(t, id, group("a()"), contract.GroupDigest(digests))
	replica.Report.Digests = map[string]string{contract.MemberID(id, "b"): digests["b"]}
	s := &state{
		policies: contract.Policies{id: group("a() && b()")}, replicas: replicas.Set{replica},
		configured: configured.Configuration{Policies: contract.Policies{id: group("a()")}},
	}
	if err := s.keepLastGood(); err != nil {
		t.Fatal(err)
	}
	got := s.lastGood[id]
	if got.Expression != "a()" || got.Policies["a"].ModuleDigest != digests["a"] || got.Policies["b"].ModuleDigest != digests["b"] {
		t.Errorf("got %+v, want the group that all serve, its members pinned", got)
	}
}
