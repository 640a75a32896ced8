package scan

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Dial makes a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Replicas connects to the replicas of policy servers in turn, where a plain connection to
// their Service would leave the choice to chance. The name stays that of the Service: in the
// request, and for the certificate. Replicas that cannot be found or reached, as from outside
// of the cluster, leave it to the Service.
type Replicas struct {
	client client.Reader
	dial   Dial
	now    func() time.Time

	mu       sync.Mutex
	services map[string]*replicas
}

// replicas are those of one Service.
type replicas struct {
	mu        sync.Mutex
	read      time.Time
	addresses []string
	next      int
}

const (
	// rereadAfter is how old what is known of replicas may be when a connection is made.
	rereadAfter = 2 * time.Second
	// readTimeout bounds reading them, and replicaTimeout a connection to one.
	readTimeout    = 5 * time.Second
	replicaTimeout = 2 * time.Second
	// maxReplicasTried bounds how many are tried for one connection, before the Service is.
	maxReplicasTried = 2
)

// NewReplicas makes connections by dial. The client must not cache.
func NewReplicas(c client.Reader, dial Dial, now func() time.Time) *Replicas {
	return &Replicas{client: c, dial: dial, now: now, services: map[string]*replicas{}}
}

// DialContext connects to a replica of the Service that an address such as
// policy-server-default.kubewarden.svc:443 names, or to any other address as it stands.
func (r *Replicas) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	name, namespace, is := serviceOf(address)
	if !is {
		return r.dial(ctx, network, address)
	}
	r.mu.Lock()
	service, known := r.services[address]
	if !known {
		service = &replicas{}
		r.services[address] = service
	}
	r.mu.Unlock()
	for _, replica := range r.turn(ctx, service, client.ObjectKey{Namespace: namespace, Name: name}) {
		connection, err := r.within(ctx, network, replica)
		if err == nil {
			return connection, nil
		}
		service.forget()
	}
	return r.dial(ctx, network, address)
}

func (r *Replicas) within(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	return r.dial(ctx, network, address)
}

// serviceOf reads the DNS name of a Service.
func serviceOf(address string) (name, namespace string, is bool) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", false
	}
	parts := strings.Split(host, ".")
	if len(parts) != 3 || parts[2] != "svc" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// turn are the replicas to try, beginning with the one whose turn it is.
func (r *Replicas) turn(ctx context.Context, service *replicas, key client.ObjectKey) []string {
	service.mu.Lock()
	defer service.mu.Unlock()
	if now := r.now(); now.Sub(service.read) >= rereadAfter {
		service.read, service.addresses = now, r.ready(ctx, key)
	}
	count := len(service.addresses)
	tried := make([]string, 0, maxReplicasTried)
	for i := range min(count, maxReplicasTried) {
		tried = append(tried, service.addresses[(service.next+i)%count])
	}
	service.next++
	return tried
}

// forget has the replicas read anew: one of them cannot be reached.
func (s *replicas) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = time.Time{}
}

// ready lists the addresses of the replicas that take requests; none when they cannot be read.
func (r *Replicas) ready(ctx context.Context, service client.ObjectKey) []string {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	slices := &discoveryv1.EndpointSliceList{}
	err := r.client.List(ctx, slices, client.InNamespace(service.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service.Name})
	if err != nil {
		return nil
	}
	var addresses []string
	for i := range slices.Items {
		addresses = append(addresses, addressesOf(&slices.Items[i])...)
	}
	return addresses
}

// portWebhook is the port of the Service that admission requests, and audits, go to; it is the
// first one, and upstream's Services give it no name.
var portWebhook = map[string]bool{"policy-server": true, "": true}

func addressesOf(slice *discoveryv1.EndpointSlice) []string {
	var addresses []string
	for _, port := range slice.Ports {
		if port.Port == nil || port.Name != nil && !portWebhook[*port.Name] {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if ready := endpoint.Conditions.Ready; len(endpoint.Addresses) > 0 && (ready == nil || *ready) {
				addresses = append(addresses, net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(int(*port.Port))))
			}
		}
	}
	return addresses
}
