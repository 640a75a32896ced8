package protocol_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

func TestRegoInputs(t *testing.T) {
	request, settings := json.RawMessage(`{"n": 1.50}`), json.RawMessage(`{"a": 1e400}`)
	for got, want := range map[string]string{
		string(protocol.AppendOPAInput(nil, request)):                         `{"request":{"n": 1.50}}`,
		string(protocol.AppendGatekeeperInput(nil, request, settings)):        `{"parameters":{"a": 1e400},"review":{"n": 1.50}}`,
		string(protocol.AppendGatekeeperInput([]byte("x"), []byte("1"), nil)): `x{"parameters":{},"review":1}`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Only an empty list of violations accepts.
func TestDecodeGatekeeperResult(t *testing.T) {
	tests := map[string]struct {
		document string
		want     protocol.ValidationResponse
		wantErr  string
	}{
		"nothing found":        {`[{"result":[]}]`, protocol.ValidationResponse{Accepted: true}, ""},
		"two violations":       {`[{"result":[{"msg":"a"},{"msg":"b","details":1}]}]`, protocol.ValidationResponse{Message: new("a, b")}, ""},
		"one without message":  {`[{"result":[{},{"msg":"b"},{"msg":null}]}]`, protocol.ValidationResponse{Message: new("b")}, ""},
		"no results":           {`[]`, protocol.ValidationResponse{}, "the policy's entry point is undefined for this request"},
		"no list of results":   {`{"result":[]}`, protocol.ValidationResponse{}, `got {"result":[]}, want a list of results`},
		"a result of no value": {`[{}]`, protocol.ValidationResponse{}, "result: missing, want the value of the policy's entry point"},
		"two values":           {`[{"result":[{"msg":"a"}],"result":[]}]`, protocol.ValidationResponse{}, "result: stands twice"},
		"two messages":         {`[{"result":[{"msg":"a","msg":"b"}]}]`, protocol.ValidationResponse{}, "result[0]: msg: stands twice"},
		"a word":               {`[{"result":"none"}]`, protocol.ValidationResponse{}, `result: got "none", want a list of violations`},
		"nothing":              {``, protocol.ValidationResponse{}, "got , want a list of results"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := protocol.DecodeGatekeeperResult([]byte(tc.document))
			checkResult(t, err, tc.wantErr, "cannot interpret Gatekeeper policy result: ")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestDecodeOPAResult(t *testing.T) {
	tests := map[string]struct {
		response string
		want     protocol.ValidationResponse
		wantErr  string
	}{
		"allowed":                 {`{"uid":"","allowed":true,"status":null,"patch":null,"warnings":null,"apiVersion":"x"}`, protocol.ValidationResponse{Accepted: true}, ""},
		"a status of upstream's":  {`{"uid":"","allowed":false,"status":{"details":{"causes":[],"retry_after_seconds":3}}}`, protocol.ValidationResponse{Status: &protocol.Status{Details: &protocol.Details{RetryAfterSeconds: new(int32(3))}}}, ""},
		"a patch of nothing":      {`{"uid":"","allowed":true,"patch":"W10=","patchType":"JSONPatch"}`, protocol.ValidationResponse{Accepted: true}, ""},
		"two verdicts":            {`{"uid":"","allowed":false,"allowed":true}`, protocol.ValidationResponse{}, "allowed: stands twice"},
		"a reason of its own":     {`{"uid":"","allowed":false,"status":{"reason":"Perhaps"}}`, protocol.ValidationResponse{}, `status: reason: got "Perhaps", allowed are ["" "Unauthorized"`},
		"a code beyond all codes": {`{"uid":"","allowed":false,"status":{"code":70000}}`, protocol.ValidationResponse{}, "status: code: got a JSON number 70000, want an integer from 0 to 65535"},
		"a cause in words":        {`{"uid":"","allowed":false,"status":{"details":{"causes":["no"]}}}`, protocol.ValidationResponse{}, "status: details: causes[0]: not a JSON object"},
		"a cause of its own":      {`{"uid":"","allowed":false,"status":{"details":{"causes":[{"reason":"no"}]}}}`, protocol.ValidationResponse{}, `status: details: causes[0]: reason: got "no", allowed are`},
		"another type of patch":   {`{"uid":"","allowed":true,"patch":"W10=","patchType":"Merge"}`, protocol.ValidationResponse{}, `patchType: got "Merge" beside a patch, want "JSONPatch"`},
		"a patch in clear":        {`{"uid":"","allowed":true,"patch":"[]","patchType":"JSONPatch"}`, protocol.ValidationResponse{}, "patch: not in base64"},
		"a warning that is null":  {`{"uid":"","allowed":true,"warnings":[null]}`, protocol.ValidationResponse{}, "warnings[0]: got null, want a string"},
		"an annotation of null":   {`{"uid":"","allowed":true,"auditAnnotations":{"a":null}}`, protocol.ValidationResponse{}, `auditAnnotations["a"]: got null, want a string`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := protocol.DecodeOPAResult([]byte(`[{"result":{"response":` + tc.response + `}}]`))
			checkResult(t, err, tc.wantErr, "cannot interpret OPA policy result: result.response: ")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// checkResult wants an error that begins so behind its prefix, or none.
func checkResult(t *testing.T, err error, want, prefix string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %v, want none", err)
	case want != "" && (err == nil || len(err.Error()) < len(prefix+want) || err.Error()[:len(prefix+want)] != prefix+want):
		t.Errorf("got error %v\nwant      %s", err, prefix+want)
	}
}

// Whatever a guest answers, it is accepted only where it says so, in one way of reading.
func FuzzDecodeRegoResults(f *testing.F) {
	for _, seed := range []string{`[{"result":[]}]`, `[{"result":[{"msg":"a"}]}]`, `[{"result":{"response":{"uid":"","allowed":true}}}]`, `[]`, `[{"result":null}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		var results []struct {
			Result json.RawMessage `json:"result"`
		}
		decodable := json.Unmarshal(document, &results) == nil && len(results) > 0
		if response, err := protocol.DecodeGatekeeperResult(document); err == nil && response.Accepted {
			var violations []any
			if !decodable || json.Unmarshal(results[0].Result, &violations) != nil || violations == nil || len(violations) > 0 {
				t.Errorf("Gatekeeper: accepted by %s", document)
			}
		}
		if response, err := protocol.DecodeOPAResult(document); err == nil && response.Accepted && !decodable {
			t.Errorf("OPA: accepted by %s", document)
		}
	})
}

// The objects that a policy reads stand beside its settings, and win over one of their name.
func TestRegoData(t *testing.T) {
	for name, tc := range map[string]struct{ settings, objects, want string }{
		"nothing to read":            {`{"a": 1}`, "", `{"a": 1}`},
		"no settings":                {`null`, `{"pods":{}}`, `{"kubernetes":{"pods":{}}}`},
		"both":                       {`{"a": 1.50}`, `{"pods":{}}`, `{"a":1.50,"kubernetes":{"pods":{}}}`},
		"a setting of the same name": {`{"kubernetes":1,"z":2}`, `{}`, `{"z":2,"kubernetes":{}}`},
		"nothing but that":           {`{"kubernetes":1}`, `{}`, `{"kubernetes":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []byte
			if tc.objects != "" {
				objects = []byte(tc.objects)
			}
			got, err := protocol.OPAData([]byte(tc.settings), objects)
			if err != nil || string(got) != tc.want {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
		})
	}
	if _, err := protocol.OPAData([]byte(`[]`), []byte(`{}`)); err == nil {
		t.Error("settings that are no object were taken")
	}
	if got := string(protocol.GatekeeperData(nil)) + string(protocol.GatekeeperData([]byte(`{"a":1}`))); got != `{}{"inventory":{"a":1}}` {
		t.Errorf("got %s", got)
	}
}
