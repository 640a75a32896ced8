package floor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

// RequestTimeout is how long an answer may take: as long as an API server waits by default.
const RequestTimeout = 10 * time.Second

// Client asks one server, over one HTTP/2 connection as an API server does. When the server
// tells the connection to go away, net/http opens another and sends again what the server has
// not begun with.
type Client struct {
	http    *http.Client
	address string
	uids    atomic.Int64
}

// NewClient makes a Client of the server at an address, whose certificate roots vouch for.
func NewClient(address string, roots *x509.CertPool) *Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &Client{address: address, http: &http.Client{
		Timeout: RequestTimeout,
		Transport: &http.Transport{
			Protocols: protocols, DialContext: DialLoopback,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
	}}
}

// Close closes the connection, which has to be without a request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// DialLoopback refuses everything that is not on this machine.
func DialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host != child.Loopback {
		return nil, fmt.Errorf("dial %s: only %s is allowed", address, child.Loopback)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Answer is what a request was answered with.
type Answer struct {
	// Status is that of HTTP; the rest stands in an answer of status 200.
	Status  int
	Allowed bool
	// Message of the policy, or the body of an answer with another status.
	Message string
}

// Ask sends a review, which body makes with a UID, to a path. An error is a request without an
// answer, or an answer to something else.
func (c *Client) Ask(ctx context.Context, path string, body func(uid string) []byte) (Answer, error) {
	uid := "load-" + strconv.FormatInt(c.uids.Add(1), 10)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+path, bytes.NewReader(body(uid)))
	if err != nil {
		return Answer{}, fmt.Errorf("make request to %s: %w", path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", path, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer of %s: %w", path, err)
	}
	if response.ProtoMajor != 2 {
		return Answer{}, fmt.Errorf("%s answered by %s, want HTTP/2", path, response.Proto)
	}
	return decode(response.StatusCode, uid, answer)
}

// decode reads an answer, which has to be to the very question.
func decode(status int, uid string, body []byte) (Answer, error) {
	if status != http.StatusOK {
		return Answer{Status: status, Message: strings.TrimSpace(string(body))}, nil
	}
	var decoded struct {
		Response struct {
			UID     string `json:"uid"`
			Allowed bool   `json:"allowed"`
			Status  struct {
				Message string `json:"message"`
			} `json:"status"`
		} `json:"response"`
	}
	if err := json.Unmarshal(body, &decoded); err != nil {
		return Answer{}, fmt.Errorf("decode answer %q: %w", body, err)
	}
	if decoded.Response.UID != uid {
		return Answer{}, fmt.Errorf("the answer has uid %q, want %q", decoded.Response.UID, uid)
	}
	return Answer{status, decoded.Response.Allowed, decoded.Response.Status.Message}, nil
}
