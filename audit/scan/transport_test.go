package scan

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewarden/kubewarden-operator/matching"
)

const doubleURL = "https://policy-server-default.kubewarden.svc:443"

func allow(*unstructured.Unstructured) (bool, string) { return true, "" }

func reviewOf(t *testing.T, uid string) Review {
	t.Helper()
	object := map[string]any{"metadata": map[string]any{"uid": uid, "name": "one"}}
	body, err := review(matching.Create, pods, itemOf(t, pods, object))
	if err != nil {
		t.Fatal(err)
	}
	return Review{UID: uid, Body: body}
}

func TestTransportTrustsWhatItIsTold(t *testing.T) {
	d := newDouble(t)
	d.judge("p", allow)
	certificate, key := d.authority.issuePEM(t, "audit-scanner-client")
	cases := map[string]struct {
		config     TransportConfig
		url        string
		wantErr    string
		wantClient string
	}{
		"the extra authority":        {url: doubleURL},
		"no extra authority":         {config: TransportConfig{ExtraCA: newAuthority(t).pem}, url: doubleURL, wantErr: "certificate signed by unknown authority"},
		"another name":               {url: "https://policy-server-default.elsewhere.svc:443", wantErr: "certificate is valid for *.kubewarden.svc, not"},
		"insecure":                   {config: TransportConfig{Insecure: true}, url: "https://policy-server-default.elsewhere.svc:443"},
		"with a client certificate":  {config: TransportConfig{ClientCertificate: certificate, ClientKey: key}, url: doubleURL, wantClient: "audit-scanner-client"},
		"without client certificate": {url: doubleURL},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d.clients = map[string]bool{}
			_, err := impatient(d.transport(t, tc.config)).Ask(t.Context(), tc.url, "p", reviewOf(t, "uid-1"))
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("error = %v, want %q", err, tc.wantErr)
			}
			if tc.wantClient != "" && !d.clients[tc.wantClient] || tc.wantClient == "" && len(d.clients) > 0 {
				t.Errorf("presented certificates of %v, want %q", d.clients, tc.wantClient)
			}
		})
	}
}

func TestTransportRefusesWhatIsNotPEM(t *testing.T) {
	certificate, key := newAuthority(t).issuePEM(t, "one")
	cases := map[string]struct {
		config TransportConfig
		want   string
	}{
		"extra authority":    {TransportConfig{ExtraCA: []byte("no PEM")}, "read the extra certificate authorities: there is no certificate in PEM form"},
		"client certificate": {TransportConfig{ClientCertificate: []byte("no PEM"), ClientKey: key}, "read the client certificate and its key: "},
		"client key missing": {TransportConfig{ClientCertificate: certificate}, "read the client certificate and its key: "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := NewTransport(tc.config); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

// TestQuestionsSpreadOverConnections holds that questions do not share one connection,
// which would end at one replica, and that connections are kept and bounded.
func TestQuestionsSpreadOverConnections(t *testing.T) {
	const connections, questions = 4, 200
	d := newDouble(t)
	var asked atomic.Int32
	allAtOnce := make(chan struct{})
	d.judge("p", func(*unstructured.Unstructured) (bool, string) {
		// No question is answered before as many are on their way as there may be
		// connections.
		if asked.Add(1) == connections {
			close(allAtOnce)
		}
		<-allAtOnce
		return true, ""
	})
	transport := d.transport(t, TransportConfig{Connections: connections})
	dial := transport.DialContext
	var dialled atomic.Int32
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return dial(ctx, network, address)
	}
	asker := impatient(transport)
	var work sync.WaitGroup
	for range 2 * connections {
		work.Go(func() {
			for range questions / (2 * connections) {
				if _, err := asker.Ask(t.Context(), doubleURL, "p", reviewOf(t, "uid-1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if d.protocol != "HTTP/1.1" {
		t.Errorf("asked over %s, which has one connection for all questions", d.protocol)
	}
	if got := dialled.Load(); got != connections {
		t.Errorf("%d connections for %d questions, want %d", got, questions, connections)
	}
}
