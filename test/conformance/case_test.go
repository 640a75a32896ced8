package conformance

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestLoadRefuses(t *testing.T) {
	const head = "about: a test\ncases:\n"
	const plain = "- name: plain\n  policy: {guest: {does: accepts}}\n  want: {allowed: true}\n"
	for name, tc := range map[string]struct{ text, want string }{
		"no case":                            {"about: a test\n", "about or cases are missing"},
		"no matter":                          {"cases:\n" + plain, "about or cases are missing"},
		"an unknown key of the file":         {head + plain + "extra: 1\n", "field extra not found"},
		"an unknown key of a case":           {head + plain + "  wants: {}\n", "field wants not found"},
		"an unknown key of an answer":        {head + "- name: a\n  policy: {guest: {does: accepts}}\n  want: {allow: true}\n", "field allow not found"},
		"an unknown key of a policy":         {head + "- name: a\n  policy: {guest: {does: accepts}, modus: monitor}\n  want: {allowed: true}\n", "field modus not found"},
		"an unknown key of a member":         {head + "- name: a\n  group: {expression: a(), message: m, members: {a: {guest: {does: accepts}, message: m}}}\n  want: {allowed: true}\n", "field message not found"},
		"a key twice":                        {head + plain + "  want: {allowed: true}\n", "already defined"},
		"no name":                            {head + "- policy: {guest: {does: accepts}}\n  want: {allowed: true}\n", "it has no name"},
		"a name twice":                       {head + plain + plain, `case "plain" has the name of one of a.yaml`},
		"nothing wanted":                     {head + "- name: a\n  policy: {guest: {does: accepts}}\n", `case "a": it wants nothing`},
		"only the empty wanted":              {head + "- name: a\n  policy: {guest: {does: accepts}}\n  want: {}\n", "it wants nothing"},
		"a message but no verdict":           {head + "- name: a\n  policy: {guest: {does: accepts}}\n  want: {message: m}\n", "want.allowed is missing"},
		"a status but no body":               {head + "- name: a\n  http: {}\n  want: {status: 404}\n", "want.body is missing"},
		"a status without http":              {head + "- name: a\n  policy: {guest: {does: accepts}}\n  want: {status: 404, body: ''}\n", "want.status is for cases with http"},
		"a verdict beside an error":          {head + "- name: a\n  http: {}\n  want: {status: 404, body: '', allowed: false}\n", "want.allowed is for status 200"},
		"a body beside a verdict":            {head + "- name: a\n  http: {}\n  want: {allowed: true, body: ''}\n", "want.body is for answers that are no verdict"},
		"two ways to say a message":          {head + "- name: a\n  policy: {guest: {does: accepts}}\n  want: {allowed: true, message: m, messageMatches: m}\n", "want either message or messageMatches"},
		"a pattern that is none":             {head + "- name: a\n  policy: {guest: {does: accepts}}\n  want: {allowed: true, messageMatches: '('}\n", "missing closing )"},
		"nobody to ask":                      {head + "- name: a\n  want: {allowed: true}\n", "neither policy nor group"},
		"two to ask":                         {head + "- name: a\n  policy: {guest: {does: accepts}}\n  group: {expression: 'true', message: m}\n  want: {allowed: true}\n", "both policy and group"},
		"a member of no group":               {head + "- name: a\n  policy: {guest: {does: accepts}}\n  member: b\n  want: {allowed: true}\n", "a member of no group"},
		"a policy without a module":          {head + "- name: a\n  policy: {mode: monitor}\n  want: {allowed: true}\n", "want either module or guest"},
		"a guest that does what nobody can":  {head + "- name: a\n  policy: {guest: {does: magic}}\n  want: {allowed: true}\n", `guest does "magic"; known are accepts, `},
		"a guest of two kinds":               {head + "- name: a\n  policy: {guest: {does: accepts, answers: {}}}\n  want: {allowed: true}\n", "want one of answers, does, calls, runs, opa and gatekeeper"},
		"a guest of no execution mode":       {head + "- name: a\n  policy: {guest: {as: javy, does: loops}}\n  want: {allowed: true}\n", `guest is called as "javy"; known are gatekeeper, opa, wapc, wasi`},
		"a misdeed that nobody can":          {head + "- name: a\n  policy: {guest: {as: opa, does: sleeps}}\n  want: {allowed: true}\n", `guest does "sleeps" as opa; known are `},
		"a function that there is none of":   {head + "- name: a\n  policy: {guest: {as: wapc, calls: {function: wapc.run, with: []}}}\n  want: {allowed: true}\n", `guest calls "wapc.run", which the host does not have`},
		"a call with too few parameters":     {head + "- name: a\n  policy: {guest: {as: wapc, calls: {function: wapc.__host_call, with: [text, 1]}}}\n  want: {allowed: true}\n", "guest calls wapc.__host_call with 3 parameters, want 8"},
		"a call with a list":                 {head + "- name: a\n  policy: {guest: {as: wapc, calls: {function: wapc.__host_error, with: [[1]]}}}\n  want: {allowed: true}\n", "want numbers and texts"},
		"a result of nothing":                {head + "- name: a\n  policy: {guest: {as: wapc, calls: {function: wapc.__host_error, with: [1], returns: 0}}}\n  want: {allowed: true}\n", "guest calls wapc.__host_error, which returns nothing"},
		"an endpoint that there is none of":  {head + "- name: a\n  policy: {guest: {does: accepts}}\n  endpoint: raw\n  want: {allowed: true}\n", `endpoint is "raw", want validate`},
		"a raw request without its endpoint": {head + "- name: a\n  policy: {guest: {does: accepts}}\n  request: {raw: 1}\n  want: {allowed: true}\n", "request.raw belongs to the endpoint validate_raw"},
		"a raw endpoint without request":     {head + "- name: a\n  policy: {guest: {does: accepts}}\n  endpoint: validate_raw\n  want: {allowed: true}\n", "request.raw belongs to the endpoint validate_raw"},
		"two requests":                       {head + "- name: a\n  policy: {guest: {does: accepts}}\n  request: {file: a, object: {}}\n  want: {allowed: true}\n", "want either request.file or request.object"},
	} {
		t.Run(name, func(t *testing.T) {
			cases, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(tc.text)}})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "a.yaml") {
				t.Errorf("got %d cases and error %v, want an error of a.yaml that contains %q", len(cases), err, tc.want)
			}
		})
	}
}

func TestEveryRequestIsUsed(t *testing.T) {
	cases, err := Load(os.DirFS("cases"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, tested := range cases {
		used[tested.Request.File] = true
	}
	files, err := os.ReadDir("requests")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !used[file.Name()] {
			t.Errorf("requests/%s is used by no case", file.Name())
		}
	}
}

// A comparison that finds nothing would make every case pass.
func TestExpectedDiffersFromAnotherAnswer(t *testing.T) {
	tested := Case{ID: "a", Want: Want{Allowed: new(false), MessageMatches: "^no <id>$"}}
	for _, message := range []string{"no b", "no", ""} {
		if want := tested.Expected(Answer{Message: &message}); *want.Message == message {
			t.Errorf("%q is taken for a text that matches %q", message, tested.Want.MessageMatches)
		}
	}
	if want := tested.Expected(Answer{Message: new("no a")}); *want.Message != "no a" {
		t.Errorf("got %q, want the message that matches", *want.Message)
	}
	if want := tested.Expected(Answer{}); want.Message == nil {
		t.Error("an answer without a message is taken for one that matches")
	}
}

func TestDecodeAnswerHoldsToTheFormat(t *testing.T) {
	const head = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u",`
	for name, tc := range map[string]struct{ body, want string }{
		"good":                     {head + `"allowed":true,"auditAnnotations":null,"warnings":null}}`, ""},
		"no JSON":                  {`no`, "decode answer"},
		"an unknown member":        {head + `"allowed":true,"auditAnnotations":null,"warnings":null,"extra":1}}`, "unknown field"},
		"another kind":             {`{"kind":"Review","response":{"uid":"u","allowed":true}}`, `kind "Review"`},
		"no verdict":               {head + `"auditAnnotations":null,"warnings":null}}`, "response.allowed is missing"},
		"another uid":              {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"v","allowed":true}}`, `got uid "v"`},
		"a patch of no type":       {head + `"allowed":true,"patch":"W10=","auditAnnotations":null,"warnings":null}}`, "go together"},
		"a patch of another type":  {head + `"allowed":true,"patch":"W10=","patchType":"Merge","auditAnnotations":null,"warnings":null}}`, `"Merge"`},
		"a patch that is none":     {head + `"allowed":true,"patch":"e30=","patchType":"JSONPatch","auditAnnotations":null,"warnings":null}}`, "decode patch"},
		"warnings that are absent": {head + `"allowed":true,"auditAnnotations":null}}`, "warnings is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := new(Case).DecodeAnswer([]byte(tc.body), "u")
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got error %v, want one that contains %q", err, tc.want)
			}
		})
	}
}
