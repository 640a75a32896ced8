package policyserver

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestPin(t *testing.T) {
	before, resolved := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	revision, err := contract.Revision(contract.Entry{Module: "r.test/new:v1"}, resolved)
	if err != nil {
		t.Fatal(err)
	}
	s := &state{
		policies: contract.Policies{
			"kept": {Module: "r.test/kept:v1"}, "new": {Module: "r.test/new:v1"}, "unknown": {Module: "r.test/unknown:v1"},
		},
		configured: configured.Configuration{Policies: contract.Policies{
			"kept": {Module: "r.test/kept:v1", ModuleDigest: before}, "new": {Module: "r.test/old:v1", ModuleDigest: before},
		}},
		replicas: replicas.Set{{Name: "pod-a", Ready: true, Report: &contract.Report{
			Policies: map[string]contract.Served{"new": {Revision: revision, ModuleDigest: contract.ShortDigest(resolved)}},
			Digests:  map[string]string{"new": resolved},
		}}},
	}
	if err := s.pin(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for id, entry := range s.policies {
		got[id] = entry.ModuleDigest
	}
	if diff := cmp.Diff(map[string]string{"kept": before, "new": resolved, "unknown": ""}, got); diff != "" {
		t.Errorf("unexpected pins (-want +got):\n%s", diff)
	}
}
