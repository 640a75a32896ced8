package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// review is an AdmissionReview whose request has further members.
func review(members ...string) string {
	request := append([]string{
		`"uid":"u-1"`, `"kind":{"group":"","version":"v1","kind":"Pod"}`, `"resource":{"group":"","version":"v1","resource":"pods"}`,
		`"operation":"CREATE"`, `"userInfo":{"username":"jane"}`,
	}, members...)
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{` + strings.Join(request, ",") + `}}`
}

func TestDecodeReview(t *testing.T) {
	object := `{"a": [1, 2.50], "b":"\u0041"}`
	for name, tc := range map[string]struct {
		body string
		want evaluation.Request
	}{
		"what must be there": {
			body: review(),
			want: evaluation.Request{UID: "u-1", Kind: "Pod", Operation: "CREATE"},
		},
		"everything": {
			body: review(`"namespace":"team"`, `"name":"n"`, `"subResource":"status"`, `"requestKind":{"group":"g","version":"v2","kind":"Thing"}`,
				`"requestResource":{"group":"g","version":"v2","resource":"things"}`, `"requestSubResource":null`, `"dryRun":false`,
				`"options":{}`, `"oldObject":null`, `"object":`+object),
			want: evaluation.Request{UID: "u-1", Kind: "Thing", Operation: "CREATE", Namespace: "team", Name: "n", Subresource: "status", Object: json.RawMessage(object)},
		},
		"nulls": {
			body: review(`"namespace":null`, `"requestKind":null`, `"dryRun":null`, `"object":null`),
			want: evaluation.Request{UID: "u-1", Kind: "Pod", Operation: "CREATE", Object: json.RawMessage("null")},
		},
		"members that nobody knows": {
			body: review(`"later":{"uid":"no"}`, `"UID":"no"`, `"Namespace":"no"`),
			want: evaluation.Request{UID: "u-1", Kind: "Pod", Operation: "CREATE"},
		},
		"escaped member names": {
			body: strings.Replace(review(), `"uid"`, `"\u0075id"`, 1),
			want: evaluation.Request{UID: "u-1", Kind: "Pod", Operation: "CREATE"},
		},
		"escapes in values": {
			body: review(`"namespace":"\u0074eam\n"`),
			want: evaluation.Request{UID: "u-1", Kind: "Pod", Operation: "CREATE", Namespace: "team\n"},
		},
		"blanks and other members around it": {
			body: "\n { \"extra\" : [ ] , " + strings.TrimPrefix(review(), "{") + " \n",
			want: evaluation.Request{UID: "u-1", Kind: "Pod", Operation: "CREATE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeReview([]byte(tc.body), evaluation.OriginAudit)
			if err != nil {
				t.Fatal(err)
			}
			var outer struct{ Request json.RawMessage }
			if err := json.Unmarshal([]byte(tc.body), &outer); err != nil {
				t.Fatal(err)
			}
			tc.want.Origin, tc.want.Document = evaluation.OriginAudit, outer.Request
			tc.want.ObjectKind = evaluation.GroupVersion{Version: "v1", Name: "Pod"}
			tc.want.Resource = evaluation.GroupVersion{Version: "v1", Name: "pods"}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecodeReviewRefuses(t *testing.T) {
	without := func(member string) string { return strings.Replace(review(), member, `"x":1`, 1) }
	for name, tc := range map[string]struct {
		body   string
		syntax bool
		want   string
	}{
		"nothing":                    {``, true, ""},
		"no JSON":                    {`{"request":`, true, ""},
		"two values":                 {review() + review(), true, "trailing characters"},
		"a way out of the request":   {review(`"object":{}}, "x":{"y":1`) + "}", true, "trailing characters"},
		"invalid UTF-8":              {review("\"name\":\"\xff\""), true, "invalid UTF-8"},
		"a list":                     {`[]`, false, "expected an object"},
		"null":                       {`null`, false, "expected an object"},
		"an empty object":            {`{}`, false, "missing field `request`"},
		"a null request":             {`{"request":null}`, false, "expected an object"},
		"a kind that is no string":   {`{"kind":1,"request":{}}`, false, "expected a string"},
		"no UID":                     {without(`"uid":"u-1"`), false, "missing field `request.uid`"},
		"null UID":                   {strings.Replace(review(), `"u-1"`, `null`, 1), false, "missing field `request.uid`"},
		"UID that is a number":       {strings.Replace(review(), `"u-1"`, `1`, 1), false, "request.uid: expected a string"},
		"no kind":                    {without(`"kind":{"group":"","version":"v1","kind":"Pod"}`), false, "missing field `request.kind`"},
		"kind without version":       {strings.Replace(review(), `"version":"v1",`, ``, 1), false, "request.kind: missing field"},
		"no resource":                {without(`"resource":{"group":"","version":"v1","resource":"pods"}`), false, "missing field `request.resource`"},
		"no operation":               {without(`"operation":"CREATE"`), false, "missing field `request.operation`"},
		"no userInfo":                {without(`"userInfo":{"username":"jane"}`), false, "missing field `request.userInfo`"},
		"userInfo that is a string":  {strings.Replace(review(), `{"username":"jane"}`, `"jane"`, 1), false, "missing field `request.userInfo`"},
		"dryRun that is a string":    {review(`"dryRun":"yes"`), false, "request.dryRun: expected a boolean"},
		"member that stands twice":   {review(`"uid":"u-2"`), false, "duplicate field `uid`"},
		"object that stands twice":   {review(`"object":{}`, `"\u006fbject":{}`), false, "duplicate field `object`"},
		"request that stands twice":  {strings.TrimSuffix(review(), "}") + `,"request":{}}`, false, "duplicate field `request`"},
		"namespace that is a number": {review(`"namespace":5`), false, "request.namespace: expected a string"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeReview([]byte(tc.body), "")
			if err == nil || isSyntax(err) != tc.syntax || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want one that contains %q and is about syntax: %t", err, tc.want, tc.syntax)
			}
		})
	}
}

func TestDecodeRaw(t *testing.T) {
	for name, tc := range map[string]struct {
		body, wantDocument, wantUID, wantError string
	}{
		"object":           {body: `{"request":{"uid":"u","x":1}}`, wantDocument: `{"uid":"u","x":1}`, wantUID: "u"},
		"object, no UID":   {body: `{"request": {"x":1} }`, wantDocument: `{"x":1}`},
		"UID of a number":  {body: `{"request":{"uid":1}}`, wantDocument: `{"uid":1}`},
		"string":           {body: `{"request":"x"}`, wantDocument: `"x"`},
		"null":             {body: `{"request":null}`, wantDocument: `null`},
		"more members":     {body: `{"a":[],"request":[1],"b":{}}`, wantDocument: `[1]`},
		"no request":       {body: `{}`, wantError: "missing field `request`"},
		"no object":        {body: `[]`, wantError: "expected an object"},
		"an admission one": {body: review(), wantDocument: review()[strings.Index(review(), `{"uid"`) : len(review())-1], wantUID: "u-1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeRaw([]byte(tc.body), evaluation.OriginRaw)
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Errorf("got %v, want an error that contains %q", err, tc.wantError)
				}
				return
			}
			if err != nil || string(got.Document) != tc.wantDocument || string(got.Object) != tc.wantDocument || got.UID != tc.wantUID {
				t.Errorf("got %+v, error %v; want document %s, UID %q", got, err, tc.wantDocument, tc.wantUID)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	full := evaluation.Response{
		Patch: []byte(`[{"op":"remove","path":"/a"}]`),
		Status: &evaluation.Status{
			Message: new("no"), Code: new(uint16(400)), Reason: "Invalid", Status: "Failure",
			Details: &evaluation.Details{Name: "n", Causes: []evaluation.Cause{{Message: new("m")}}},
		},
		AuditAnnotations: map[string]string{"a": "b"}, Warnings: []string{"w"},
	}
	for name, tc := range map[string]struct {
		encode   func(string, evaluation.Response) ([]byte, error)
		response evaluation.Response
		want     string
	}{
		"allowed": {
			encode: encodeReview, response: evaluation.Response{Allowed: true},
			want: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}}`,
		},
		"denied": {
			encode: encodeReview, response: evaluation.Response{Status: &evaluation.Status{Message: new("")}},
			want: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":false,"status":{"message":""},"auditAnnotations":null,"warnings":null}}`,
		},
		"everything": {
			encode: encodeReview, response: full,
			want: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":false,"patchType":"JSONPatch",` +
				`"patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2EifV0=","status":{"status":"Failure","message":"no","reason":"Invalid","code":400,` +
				`"details":{"name":"n","causes":[{"reason":null,"message":"m","field":null}]}},"auditAnnotations":{"a":"b"},"warnings":["w"]}}`,
		},
		"raw": {
			encode: encodeRaw, response: evaluation.Response{Allowed: true},
			want: `{"response":{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.encode("u", tc.response)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
