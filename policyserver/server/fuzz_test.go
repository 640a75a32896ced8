package server

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// members are those of a JSON object, with the names as they are; nil for anything else.
func members(text []byte) map[string]json.RawMessage {
	var found map[string]json.RawMessage
	if json.Unmarshal(text, &found) != nil {
		return nil
	}
	return found
}

// text is a string, or "" for what is none.
func text(value json.RawMessage) (found string) {
	_ = json.Unmarshal(value, &found)
	return found
}

func groupVersionOf(value json.RawMessage, last string) evaluation.GroupVersion {
	found := members(value)
	return evaluation.GroupVersion{Group: text(found["group"]), Version: text(found["version"]), Name: text(found[last])}
}

// What a policy is asked about is the request of the review, byte by byte, and what is read
// from it is what any other reader finds there.
func FuzzDecodeReview(f *testing.F) {
	for _, seed := range []string{
		review(), review(`"object":{"a":[1,2.50,1e400],"b":"\u0041\ud83d\ude00"}`, `"namespace":"team"`, `"dryRun":false`),
		review(`"requestKind":{"group":"g","version":"v2","kind":"Thing"}`, `"name":null`, `"oldObject":{}`, `"subResource":"status"`),
		review(`"\u006fbject":{}`), review(`"uid":"u-2"`), "\n{ \"request\" :\t{ } , \"kind\":null}", `{"request":{"uid":"u"}} `, `{"Request":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		request, err := decodeReview(body, evaluation.OriginValidate)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			if got := undecodable(err).Error(); got == "" {
				t.Error("got an error without words")
			}
			return
		}
		checkDocument(t, body, request.Document)
		inner := members(request.Document)
		shown := members(inner["kind"])["kind"]
		if kind := members(inner["requestKind"]); kind != nil {
			shown = kind["kind"]
		}
		want := evaluation.Request{
			Origin: evaluation.OriginValidate, Document: request.Document, Object: inner["object"], UID: text(inner["uid"]), Kind: text(shown),
			Namespace: text(inner["namespace"]), Name: text(inner["name"]), Operation: text(inner["operation"]), Subresource: text(inner["subResource"]),
			ObjectKind: groupVersionOf(inner["kind"], "kind"), Resource: groupVersionOf(inner["resource"], "resource"),
		}
		if diff := cmp.Diff(want, request); diff != "" {
			t.Errorf("-want +got of %q\n%s", body, diff)
		}
		if answer, err := encodeReview(request.UID, evaluation.Response{}); err != nil || text(members(members(answer)["response"])["uid"]) != request.UID {
			t.Errorf("got answer %s, %v; want one with the uid %q", answer, err, request.UID)
		}
	})
}

// The same for requests that are not about Kubernetes.
func FuzzDecodeRaw(f *testing.F) {
	for _, seed := range []string{`{"request":{"uid":"u","a":1.0}}`, `{"request":[1, 2]}`, `{"request":null}`, `{"request":"\u0000","more":{}}`, `{"request":1}x`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := decodeRaw(body, evaluation.OriginRaw)
		if err != nil {
			return
		}
		checkDocument(t, body, request.Document)
		if want := text(members(request.Document)["uid"]); request.UID != want {
			t.Errorf("got uid %q, want %q", request.UID, want)
		}
	})
}

// checkDocument holds a document to the bytes that the body has for its request, and to
// what a guest finds in the question that is made with it.
func checkDocument(t *testing.T, body, document []byte) {
	t.Helper()
	if want := members(body)["request"]; !bytes.Equal(document, want) {
		t.Fatalf("got document %q, want %q", document, want)
	}
	question := members(protocol.AppendValidationRequest(nil, document, json.RawMessage(`{"a":1}`)))
	if len(question) != 2 || !bytes.Equal(question["request"], document) || string(question["settings"]) != `{"a":1}` {
		t.Errorf("got question %q, want the document and the settings in it", question)
	}
}
