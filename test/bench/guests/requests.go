package guests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// podRequest is an AdmissionRequest for an innocent Pod of about that many bytes, all of
// whose guests accept it. A Pod grows by its containers, as real ones do, so that a policy
// about containers has more to look at.
func podRequest(bytes int) json.RawMessage {
	const container = `{"name":"side","image":"registry.example/side:4.5.6","env":[{"name":"MODE","value":"careful"}],` +
		`"resources":{"limits":{"cpu":"500m","memory":"128Mi"}},"ports":[{"containerPort":8080}],"securityContext":{"privileged":false}}`
	return fmt.Appendf(nil, `{"uid":"1299d386-525b-4032-98ae-1949f69f9cfc","kind":{"group":"","version":"v1","kind":"Pod"},`+
		`"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE","userInfo":{"username":"alice"},`+
		`"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"app","namespace":"default","labels":{"team":"alpha"}},`+
		`"spec":{"containers":[%s]}},"oldObject":null,"dryRun":false}`,
		strings.Repeat(container+",", bytes/len(container)-3)+container)
}

// rawRequest is a request of a policy of type raw, of about that many bytes.
func rawRequest(bytes int) json.RawMessage {
	const entry = `{"at":"2026-11-23T10:00:00Z","note":"seen before","count":17,"tags":["a","b"]}`
	return fmt.Appendf(nil, `{"user":"tonio","action":"eats","resource":"hay","history":[%s]}`,
		strings.Repeat(entry+",", bytes/len(entry)-1)+entry)
}

// with puts another text into a request.
func with(text, another string) func(json.RawMessage) json.RawMessage {
	return func(request json.RawMessage) json.RawMessage {
		return bytes.Replace(request, []byte(text), []byte(another), 1)
	}
}
