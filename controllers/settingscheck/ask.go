package settingscheck

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// maxAnswerBytes bounds what is read of an answer: a message has 1 KiB at most.
const maxAnswerBytes = 64 << 10

// newClient makes a client for the replicas of one policy server. They are called by their
// addresses, and have to prove the name of their Service, as they do to API servers.
func (c *Checker) newClient(ctx context.Context, server string) (*http.Client, error) {
	bundle, err := c.Authority.CABundle(ctx)
	if err != nil {
		return nil, err
	}
	own, err := c.Authority.OperatorCertificate(ctx)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, errors.New("the published certificate authority cannot be read")
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: render.DNSName(server, c.Render.Namespace),
			// Presented whatever the server asks for: it may not know a renewed authority yet,
			// and says so.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil },
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// ask has a replica check settings. ctx has a deadline, which the replica is told.
func ask(ctx context.Context, client *http.Client, module replicas.Module, question contract.SettingsQuestion) (contract.SettingsAnswer, error) {
	var answer contract.SettingsAnswer
	body, err := json.Marshal(question)
	if err != nil {
		return answer, fmt.Errorf("encode the settings: %w", err)
	}
	target := url.URL{Scheme: "https", Host: module.Replica.Address, Path: contract.PathValidateSettings + module.Digest}
	if deadline, bounded := ctx.Deadline(); bounded {
		rest := max(time.Until(deadline), time.Millisecond)
		target.RawQuery = url.Values{"timeout": {rest.String()}}.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		// The cause alone: whoever reads it knows no address.
		if wrapped, is := errors.AsType[*url.Error](err); is {
			err = wrapped.Err
		}
		return answer, fmt.Errorf("call replica %s: %w", module.Replica.Name, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return answer, fmt.Errorf("read the answer of replica %s: %w", module.Replica.Name, err)
	}
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("replica %s answers with status %d%s", module.Replica.Name, response.StatusCode, reason(text))
	}
	return answer, decodeAnswer(text, &answer)
}

// decodeAnswer wants an answer to say whether the settings are valid: what is no answer must
// not refuse anything.
func decodeAnswer(text []byte, answer *contract.SettingsAnswer) error {
	var wire struct {
		Valid   *bool  `json:"valid"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &wire); err != nil || wire.Valid == nil {
		return errors.New("the answer of the replica cannot be read")
	}
	*answer = contract.NewSettingsAnswer(*wire.Valid, wire.Message)
	return nil
}

// reason is what a replica says of a request that it did not answer.
func reason(text []byte) string {
	var rejection struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &rejection) != nil || rejection.Message == "" {
		return ""
	}
	return ": " + rejection.Message
}
