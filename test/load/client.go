package main

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

// requestTimeout is how long an answer may take: as long as an API server waits by default.
const requestTimeout = 10 * time.Second

// client asks one policy server, over one HTTP/2 connection as an API server does. When
// the server tells the connection to go away, net/http opens another and sends again what
// the server has not begun with.
type client struct {
	http    *http.Client
	address string
	uids    atomic.Int64
}

func newClient(address string, roots *x509.CertPool) *client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &client{address: address, http: &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			Protocols: protocols, DialContext: dialLoopback,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
	}}
}

// dialLoopback refuses everything that is not on this machine.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host != child.Loopback {
		return nil, fmt.Errorf("dial %s: only %s is allowed", address, child.Loopback)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// answer is what a request was answered with.
type answer struct {
	status  int
	allowed bool
	message string
}

// ask sends a review to a policy.
func (c *client) ask(ctx context.Context, id string, about review) (answer, error) {
	uid := "load-" + strconv.FormatInt(c.uids.Add(1), 10)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+about.path+id, bytes.NewReader(about.body(uid)))
	if err != nil {
		return answer{}, fmt.Errorf("make request to %s: %w", id, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, fmt.Errorf("ask %s: %w", id, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return answer{}, fmt.Errorf("read answer of %s: %w", id, err)
	}
	if response.ProtoMajor != 2 {
		return answer{}, fmt.Errorf("%s answered by %s, want HTTP/2", id, response.Proto)
	}
	return decodeAnswer(response.StatusCode, uid, body)
}

// decodeAnswer reads an answer, which has to be to the very question.
func decodeAnswer(status int, uid string, body []byte) (answer, error) {
	if status != http.StatusOK {
		return answer{status: status, message: strings.TrimSpace(string(body))}, nil
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
		return answer{}, fmt.Errorf("decode answer %q: %w", body, err)
	}
	if decoded.Response.UID != uid {
		return answer{}, fmt.Errorf("the answer has uid %q, want %q", decoded.Response.UID, uid)
	}
	return answer{status, decoded.Response.Allowed, decoded.Response.Status.Message}, nil
}

// is says whether the answer is one of the outcomes.
func (a answer) is(outcomes ...outcome) bool {
	for _, want := range outcomes {
		if a.status == want.status && a.allowed == want.allowed && strings.Contains(a.message, want.message) {
			return true
		}
	}
	return false
}
