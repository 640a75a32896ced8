package policyserver

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestFitKeepsWhatWasConfigured(t *testing.T) {
	entry := func(size int) contract.Entry {
		return contract.Entry{Module: "r.test/m:v1", Settings: json.RawMessage(fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", size)))}
	}
	s := serving(t, func(s *state) {
		s.policies = contract.Policies{"kw.cap.grown": entry(render.MaxEntryBytes), "kw.cap.new": entry(render.MaxEntryBytes), "kw.cap.small": entry(9)}
		for id := range s.policies {
			s.candidates = append(s.candidates, render.Candidate{ID: id})
		}
		s.configured = configured.Configuration{Policies: contract.Policies{"kw.cap.grown": entry(7)}}
	})
	if err := s.fit(); err != nil {
		t.Fatal(err)
	}
	if got := string(s.policies["kw.cap.grown"].Settings); got != `{"x":"xxxxxxx"}` {
		t.Errorf("got %s, want the entry of before", got)
	}
	if _, found := s.policies["kw.cap.new"]; found || len(s.policies) != 2 || len(s.refused) != 2 {
		t.Errorf("got %d policies and %d refusals, want two of each", len(s.policies), len(s.refused))
	}
}
