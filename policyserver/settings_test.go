package policyserver

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
	"github.com/kubewarden/kubewarden-operator/policyserver/server/servertest"
)

func TestSettingsAreCheckedForTheOperator(t *testing.T) {
	from := newImages(t)
	files, _ := fromFiles(t, from, contract.Policies{
		"good": {Module: from.push(t, "accepting", wasmtest.Accepting())},
	})
	authority, certificate := servertest.Operator(t)
	s := start(t, Config{Files: files, Certificates: &server.CertificateFiles{OperatorCAs: []string{authority}}})
	s.waitReady(t)
	digest := s.report().Digests["good"]
	post := func(digest string) (int, string) {
		response, err := s.client.Post("https://"+s.Address("API")+contract.PathValidateSettings+digest, "application/json", strings.NewReader(`{"settings":{"a":1}}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	if status, text := post(digest); status != http.StatusForbidden {
		t.Errorf("got %d %s for a stranger, want 403", status, text)
	}
	transport := s.client.Transport.(*http.Transport)
	transport.CloseIdleConnections()
	transport.TLSClientConfig.Certificates = []tls.Certificate{certificate}
	if status, text := post(digest); status != http.StatusOK || text != `{"valid":true}` {
		t.Errorf("got %d %s, want 200 and valid settings", status, text)
	}
	if status, text := post(strings.Repeat("0", 64)); status != http.StatusNotFound || !strings.Contains(text, "is loaded") {
		t.Errorf("got %d %s for a module that is not loaded, want 404", status, text)
	}
	if _, metrics := s.page(t, "metrics", "/metrics"); !strings.Contains(metrics, `kubewarden_policy_server_requests_total{endpoint="settings",status="403"} 1`) {
		t.Error("the metrics do not tell of the stranger")
	}
}
