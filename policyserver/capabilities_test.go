package policyserver

import (
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// tellingHost fails with what the host answers, or with the host's error.
func tellingHost(namespace, operation, payload string) []byte {
	g := wasmtest.NewGuest()
	tell := slices.Concat(wasmtest.I32Const(wasmtest.AddressPayload), wasmtest.Call(wasmtest.HostResponse),
		wasmtest.I32Const(wasmtest.AddressPayload), wasmtest.Call(wasmtest.HostResponseLen), wasmtest.Call(wasmtest.GuestError), wasmtest.I32Const(0))
	return g.OnValidate(g.CallHost(namespace, operation, payload),
		wasmtest.IfI32(tell, wasmtest.Else, g.FailHost())).Bytes()
}

// A policy gets the answers of the capabilities that it is granted, and of no others.
func TestServeHostCapabilities(t *testing.T) {
	from := newImages(t)
	lookup := from.push(t, "lookup", tellingHost("net", "v1/dns_lookup_host", `"192.0.2.7"`))
	judge := from.push(t, "judge", tellingHost("crypto", "v1/is_certificate_trusted",
		`{"cert":{"encoding":"Der","data":[1]},"not_after":null}`))
	digest := from.push(t, "digest", tellingHost("oci", "v1/manifest_digest", strconv.Quote(strings.TrimPrefix(lookup, "registry://"))))
	files, _ := fromFiles(t, from, contract.Policies{
		"granted": {Module: lookup, HostCapabilities: []string{"net/*"}},
		"denied":  {Module: lookup, HostCapabilities: []string{"crypto/*"}},
		"judge":   {Module: judge, HostCapabilities: []string{"crypto/*"}},
		"digest":  {Module: digest, HostCapabilities: []string{"oci/*"}},
	})
	s := start(t, Config{Files: files, Capabilities: Capabilities{
		Roots: func() (*x509.CertPool, error) { return x509.NewCertPool(), nil },
	}})
	s.waitReady(t)
	for id, want := range map[string]string{
		"granted": `Guest call failure: {"ips":["192.0.2.7"]}`,
		"denied":  "Policy has not been granted access to the 'net/v1/dns_lookup_host' host capability",
		"judge":   "Callback evaluation failure: cert: Certificate is not a valid end-entity certificate",
		"digest":  `Guest call failure: {"digest":"sha256:`,
	} {
		if got := s.ask(t, id, "{}"); got.Allowed || !strings.Contains(got.Message, want) {
			t.Errorf("%s: got %+v, want a denial that contains %q", id, got, want)
		}
	}
}
