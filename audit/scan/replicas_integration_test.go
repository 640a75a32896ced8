//go:build integration

package scan

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dialled records who is connected to; those that are away cannot be.
type dialled struct {
	mu        sync.Mutex
	addresses []string
	away      map[string]bool
}

func (d *dialled) dial(_ context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addresses = append(d.addresses, address)
	if d.away[address] {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	_ = far.Close()
	return near, nil
}

func endpoint4(address string, ready bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: new(ready)}}
}

func TestConnectionsGoToReplicasInTurn(t *testing.T) {
	const service = "policy-server-turns.kubewarden.svc:443"
	w := newWorld(t)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "policy-server-turns-x", Namespace: "kubewarden", Labels: map[string]string{discoveryv1.LabelServiceName: "policy-server-turns"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{endpoint4("10.0.0.1", true), endpoint4("10.0.0.2", true), endpoint4("10.0.0.3", false)},
		Ports:       []discoveryv1.EndpointPort{{Name: new("policy-server"), Port: new(int32(8443))}, {Name: new("metrics"), Port: new(int32(8080))}},
	}
	w.create(slice)
	now, away := time.Unix(1_795_608_000, 0), &dialled{away: map[string]bool{}}
	replicas := NewReplicas(newClient(t, environment.Config), away.dial, func() time.Time { return now })
	connect := func(address string, want ...string) {
		t.Helper()
		away.addresses = nil
		connection, err := replicas.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = connection.Close()
		if diff := cmp.Diff(want, away.addresses); diff != "" {
			t.Errorf("connections to %s (-want +got):\n%s", address, diff)
		}
	}
	connect(service, "10.0.0.1:8443")
	connect(service, "10.0.0.2:8443")
	connect(service, "10.0.0.1:8443")
	connect("proxy.example.com:3128", "proxy.example.com:3128")

	away.away["10.0.0.2:8443"] = true
	connect(service, "10.0.0.2:8443", "10.0.0.1:8443")
	slice.Endpoints = []discoveryv1.Endpoint{endpoint4("10.0.0.4", true)}
	if err := w.client.Update(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	connect(service, "10.0.0.4:8443") // one that was away has them read anew
	away.away["10.0.0.4:8443"] = true
	connect(service, "10.0.0.4:8443", service)
	connect("policy-server-nowhere.kubewarden.svc:443", "policy-server-nowhere.kubewarden.svc:443")

	slice.Endpoints = []discoveryv1.Endpoint{endpoint4("10.0.0.5", true)}
	if err := w.client.Update(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	now = now.Add(rereadAfter)
	connect(service, "10.0.0.5:8443")
}
