package policyserver

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
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

// Policies verify by the trust root of the file, also where modules need no signatures, and
// by another one as soon as the file has it.
func TestVerifyByTheTrustRootOfTheFile(t *testing.T) {
	from, own, foreign := newImages(t), sigstore.New(t), sigstore.New(t)
	signed := from.push(t, "signed", wasmtest.Answering(`{"accepted":true}`))
	from.signAs(t, own, alice(), signed)
	reference := strings.TrimPrefix(signed, "registry://")
	asking := from.push(t, "asking", tellingHost("oci", "v2/verify", fmt.Sprintf(
		`{"type":"SigstoreKeylessVerify","image":%q,"keyless":[{"issuer":%q,"subject":%q}]}`, reference, alice().Issuer, alice().Email)))
	files, _ := fromFiles(t, from, contract.Policies{"asking": {Module: asking, HostCapabilities: []string{"oci/v2/verify"}}})
	root := filepath.Join(t.TempDir(), "root.json")
	write(t, root, own.TrustedRoot(t, 0))
	s := start(t, Config{Files: files, SigstoreTrust: root, Capabilities: Capabilities{OCITTL: time.Hour}, PolicyTimeout: 30 * time.Second})
	s.waitReady(t)
	const trusted = `Guest call failure: {"is_trusted":true,"digest":"sha256:`
	if got := s.ask(t, "asking", "{}").Message; !strings.Contains(got, trusted) {
		t.Errorf("got %s, want that the image is trusted", got)
	}
	write(t, root, foreign.TrustedRoot(t, 0))
	eventually(t, "the end of what the former trust root vouched for", func() bool {
		return strings.Contains(s.ask(t, "asking", "{}").Message, "Image verification failed")
	})
	write(t, root, own.TrustedRoot(t, 0))
	eventually(t, "the former trust root again", func() bool { return strings.Contains(s.ask(t, "asking", "{}").Message, trusted) })
}
