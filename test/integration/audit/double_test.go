//go:build integration

package audit

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
)

// question is a policy that was asked about an operation on an object.
type question struct {
	policy, operation string
	// object is Kind/namespace/name.
	object string
}

// double answers webhook calls and questions of an audit, and records both: each with the
// versions in which it was put.
type double struct {
	*httptest.Server

	mu     sync.Mutex
	called map[question]map[string]bool
	asked  map[question]map[string]bool
	// installed are the policies whose webhooks the API server is known to have read.
	installed map[string]bool
}

func newDouble(t *testing.T) *double {
	t.Helper()
	d := &double{called: map[question]map[string]bool{}, asked: map[question]map[string]bool{}, installed: map[string]bool{}}
	d.Server = httptest.NewUnstartedServer(d)
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.StartTLS()
	t.Cleanup(d.Close)
	return d
}

func (d *double) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate().Raw})
}

// Paths of the double; the scanner's is that of policy servers.
const (
	pathCalled    = "/validate/"
	pathInstalled = "/installed/"
	pathAsked     = "/audit/"
)

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	review := admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "this is no review", http.StatusUnprocessableEntity)
		return
	}
	d.record(r.URL.Path, review.Request)
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

func (d *double) record(path string, request *admissionv1.AdmissionRequest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if policy, is := strings.CutPrefix(path, pathInstalled); is {
		d.installed[policy] = true
		return
	}
	records := d.called
	policy, is := strings.CutPrefix(path, pathCalled)
	if !is {
		records, policy = d.asked, strings.TrimPrefix(path, pathAsked)
	}
	namespace := request.Namespace
	if request.Kind.Kind == "Namespace" {
		namespace = "" // an API server calls it inside of itself
	}
	q := question{policy: policy, operation: string(request.Operation), object: request.Kind.Kind + "/" + namespace + "/" + request.Name}
	if records[q] == nil {
		records[q] = map[string]bool{}
	}
	records[q][request.Resource.Version] = true
}

func (d *double) missing(policies []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []string
	for _, policy := range policies {
		if !d.installed[policy] {
			missing = append(missing, policy)
		}
	}
	return missing
}
