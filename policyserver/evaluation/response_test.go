package evaluation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

const sampleObject = `{"metadata":{"name":"a","labels":{"x":"1"}}}`

func TestFromPolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		answer protocol.ValidationResponse
		object string
		want   Response
	}{
		"accepted": {
			answer: protocol.ValidationResponse{Accepted: true},
			want:   Response{Allowed: true},
		},
		"accepted with a message and a code": {
			answer: protocol.ValidationResponse{Accepted: true, Message: new("fine"), Code: new(uint16(201))},
			want:   Response{Allowed: true, Status: &Status{Message: new("fine"), Code: new(uint16(201))}},
		},
		"rejected without a word": {
			want: Response{},
		},
		"rejected with a message": {
			answer: protocol.ValidationResponse{Message: new("no")},
			want:   Response{Status: &Status{Message: new("no")}},
		},
		"rejected with an empty message": {
			answer: protocol.ValidationResponse{Message: new("")},
			want:   Response{Status: &Status{Message: new("")}},
		},
		"rejected with a code": {
			answer: protocol.ValidationResponse{Code: new(uint16(418))},
			want:   Response{Status: &Status{Code: new(uint16(418))}},
		},
		"warnings and annotations": {
			answer: protocol.ValidationResponse{Accepted: true, Warnings: []string{"w"}, AuditAnnotations: map[string]string{"a": "b"}},
			want:   Response{Allowed: true, Warnings: []string{"w"}, AuditAnnotations: map[string]string{"a": "b"}},
		},
		"mutation": {
			answer: protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"metadata":{"name":"a","labels":{"x":"2"}}}`)},
			object: sampleObject,
			want:   Response{Allowed: true, Patch: []byte(`[{"value":"2","op":"replace","path":"/metadata/labels/x"}]`)},
		},
		"mutation beside a rejection": {
			answer: protocol.ValidationResponse{Message: new("no"), MutatedObject: json.RawMessage(`{}`)},
			object: sampleObject,
			want:   Response{Status: &Status{Message: new("no")}, Patch: []byte(`[{"op":"remove","path":"/metadata"}]`)},
		},
		"mutation that changes nothing": {
			answer: protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"metadata": {"labels": {"x":"1"}, "name":"a"}}`)},
			object: sampleObject,
			want:   Response{Allowed: true},
		},
		"mutated object that is null": {
			answer: protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`null`)},
			object: sampleObject,
			want:   Response{Allowed: true},
		},
		"mutation of a request without an object": {
			answer: protocol.ValidationResponse{Accepted: true, Warnings: []string{"w"}, MutatedObject: json.RawMessage(sampleObject)},
			want:   Response{Status: &Status{Message: new(messageMutationOfNothing)}},
		},
		"a patch and a status that the policy made": {
			answer: protocol.ValidationResponse{Accepted: true, Patch: json.RawMessage(`[{"op":"remove","path":"/a"}]`), Status: &Status{Reason: "Invalid"}},
			object: sampleObject,
			want:   Response{Allowed: true, Patch: []byte(`[{"op":"remove","path":"/a"}]`), Status: &Status{Reason: "Invalid"}},
		},
		"a patch of a request without an object": {
			answer: protocol.ValidationResponse{Accepted: true, Patch: json.RawMessage(`[{"op":"remove","path":"/a"}]`)},
			want:   Response{Status: &Status{Message: new(messageMutationOfNothing)}},
		},
		"mutation of a null object": {
			answer: protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(sampleObject)},
			object: "null",
			want:   Response{Status: &Status{Message: new(messageMutationOfNothing)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fromPolicy(tc.answer, json.RawMessage(tc.object))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFromPolicyRefusesAMutatedObjectThatIsNoJSON(t *testing.T) {
	answer := protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{`)}
	if got, err := fromPolicy(answer, json.RawMessage(sampleObject)); err == nil {
		t.Errorf("got %+v, want an error", got)
	}
}

func TestRespond(t *testing.T) {
	patch := []byte(`[]`)
	notes := func(response Response) Response {
		response.Warnings, response.AuditAnnotations = []string{"w"}, map[string]string{"a": "b"}
		return response
	}
	denied := Response{Status: &Status{Message: new("own"), Code: new(uint16(400))}}
	forbidden := strings.Replace(messageMutationForbidden, "%s", "kw.cap.p", 1)
	withCustom := func(own string, code *uint16) Response {
		return Response{Status: &Status{
			Message: new("custom"), Code: code, Details: &Details{Causes: []Cause{{Message: &own}}},
		}}
	}
	for name, tc := range map[string]struct {
		rules   Rules
		origin  Origin
		verdict Response
		want    Response
	}{
		"protect, allowed":                      {verdict: Response{Allowed: true}, want: Response{Allowed: true}},
		"protect, allowed with a status":        {verdict: Response{Allowed: true, Status: &Status{Message: new("x")}}, want: Response{Allowed: true, Status: &Status{Message: new("x")}}},
		"protect, denied":                       {verdict: denied, want: denied},
		"protect, notes stay":                   {verdict: notes(denied), want: notes(denied)},
		"protect, mutation allowed":             {rules: Rules{AllowedToMutate: true}, verdict: Response{Allowed: true, Patch: patch}, want: Response{Allowed: true, Patch: patch}},
		"protect, mutation not allowed":         {verdict: notes(Response{Allowed: true, Patch: patch}), want: notes(Response{Status: &Status{Message: &forbidden}})},
		"protect, denied with a patch":          {verdict: Response{Patch: patch, Status: &Status{Message: new("own"), Code: new(uint16(400))}}, want: Response{Status: &Status{Message: &forbidden}}},
		"custom message, allowed":               {rules: Rules{Message: "custom"}, verdict: Response{Allowed: true, Status: &Status{Message: new("x")}}, want: Response{Allowed: true, Status: &Status{Message: new("x")}}},
		"custom message, denied":                {rules: Rules{Message: "custom"}, verdict: denied, want: withCustom("own", new(uint16(400)))},
		"custom message, denied without a word": {rules: Rules{Message: "custom"}, verdict: Response{}, want: withCustom("", nil)},
		"custom message, timeout":               {rules: Rules{Message: "custom"}, verdict: failed("too slow"), want: withCustom("too slow", new(uint16(500)))},
		"custom message, mutation not allowed":  {rules: Rules{Message: "custom"}, verdict: Response{Allowed: true, Patch: patch}, want: withCustom(forbidden, nil)},
		"custom message, own causes stay": {
			rules:   Rules{Message: "custom"},
			verdict: Response{Status: &Status{Message: new("own"), Details: &Details{Kind: "Pod", Causes: []Cause{{Field: new("f")}}}}},
			want: Response{Status: &Status{
				Message: new("custom"), Details: &Details{Kind: "Pod", Causes: []Cause{{Field: new("f")}, {Message: new("own")}}},
			}},
		},
		"monitor, allowed":                {rules: Rules{Mode: contract.ModeMonitor}, verdict: Response{Allowed: true}, want: Response{Allowed: true}},
		"monitor, denied":                 {rules: Rules{Mode: contract.ModeMonitor, Message: "custom"}, verdict: notes(denied), want: notes(Response{Allowed: true})},
		"monitor, mutation allowed":       {rules: Rules{Mode: contract.ModeMonitor, AllowedToMutate: true}, verdict: Response{Allowed: true, Patch: patch}, want: Response{Allowed: true}},
		"monitor, mutation not allowed":   {rules: Rules{Mode: contract.ModeMonitor}, verdict: Response{Allowed: true, Patch: patch}, want: Response{Allowed: true}},
		"monitor, timeout":                {rules: Rules{Mode: contract.ModeMonitor}, verdict: failed("too slow"), want: Response{Allowed: true}},
		"raw, denied":                     {rules: Rules{Message: "custom"}, origin: OriginRaw, verdict: denied, want: withCustom("own", new(uint16(400)))},
		"raw, monitor":                    {rules: Rules{Mode: contract.ModeMonitor}, origin: OriginRaw, verdict: denied, want: Response{Allowed: true}},
		"audit, monitor":                  {rules: Rules{Mode: contract.ModeMonitor, Message: "custom"}, origin: OriginAudit, verdict: denied, want: denied},
		"audit, mutation not allowed":     {origin: OriginAudit, verdict: Response{Allowed: true, Patch: patch}, want: Response{Allowed: true, Patch: patch}},
		"audit, denied and a custom text": {rules: Rules{Message: "custom"}, origin: OriginAudit, verdict: notes(denied), want: notes(denied)},
	} {
		t.Run(name, func(t *testing.T) {
			tc.rules.PolicyID = "kw.cap.p"
			if tc.origin == "" {
				tc.origin = OriginValidate
			}
			before, err := json.Marshal(tc.verdict)
			if err != nil {
				t.Fatal(err)
			}
			got := respond(tc.rules, tc.origin, tc.verdict)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if after, _ := json.Marshal(tc.verdict); string(before) != string(after) {
				t.Errorf("the verdict was changed: %s became %s", before, after)
			}
		})
	}
}
