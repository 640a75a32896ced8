package dns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/answers"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// Namespace is the one that guests call.
const Namespace = "net"

const operationLookup = "v1/dns_lookup_host"

// maxHost is the length of the longest name that there can be (RFC 1035, section 3.1), with a
// dot at its end.
const maxHost = 254

// Config is what a Capability is made from.
type Config struct {
	// TTL is how long addresses are kept; 0 asks each time, as upstream does.
	TTL time.Duration
	// Resolver asks; nil means the system's configuration of name servers.
	Resolver *net.Resolver
	// Now is the clock that answers grow old by.
	Now func() time.Time
}

// Capability looks up hosts. It is safe for concurrent use.
type Capability struct {
	resolver *net.Resolver
	cache    *answers.Cache
}

var _ host.Capability = (*Capability)(nil)

// New makes a capability.
func New(config Config) *Capability {
	if config.Resolver == nil {
		config.Resolver = net.DefaultResolver
	}
	return &Capability{config.Resolver, answers.New(answers.Config{TTL: config.TTL, Now: config.Now})}
}

// addresses are the answer.
type addresses struct {
	IPs []string `json:"ips"`
}

// Call looks up the host that the payload names, a text in JSON. The answer has addresses of
// both families, in the resolver's order, each once; that there are none is an error.
func (c *Capability) Call(ctx context.Context, request host.Request) ([]byte, error) {
	if request.Operation != operationLookup {
		return nil, host.RefusalError("unknown operation: " + request.Operation)
	}
	name, err := decodeHost(request.Payload)
	if err != nil {
		return nil, host.RefusalError(err.Error())
	}
	// Names are the same whatever their case (RFC 4343).
	question := answers.Question{Key: strings.ToLower(name), Asker: request.PolicyID}
	return c.cache.Get(ctx, question, func(ctx context.Context) ([]byte, error) {
		return c.lookup(ctx, name)
	})
}

func (c *Capability) lookup(ctx context.Context, name string) ([]byte, error) {
	found, err := c.resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, withoutServer(err)
	}
	answer := addresses{IPs: make([]string, 0, len(found))}
	known := map[string]bool{}
	for _, address := range found {
		text := address.Unmap().String()
		if !known[text] {
			answer.IPs = append(answer.IPs, text)
		}
		known[text] = true
	}
	return json.Marshal(answer)
}

// withoutServer leaves out which name server was asked: the error ends up in what users are
// told of a request.
func withoutServer(err error) error {
	var failed *net.DNSError
	if !errors.As(err, &failed) {
		return err
	}
	return fmt.Errorf("lookup %s: %s", failed.Name, failed.Err)
}

// decodeHost reads the payload. The error is for the guest.
func decodeHost(payload []byte) (string, error) {
	const want = "want the name of a host, as a text in JSON"
	if !bytes.HasPrefix(bytes.TrimSpace(payload), []byte(`"`)) {
		return "", fmt.Errorf("payload is %.64q; %s", payload, want)
	}
	var name string
	if err := json.Unmarshal(payload, &name); err != nil {
		return "", fmt.Errorf("payload is %.64q: %w; %s", payload, err, want)
	}
	switch {
	case name == "":
		return "", fmt.Errorf("host is empty; %s", want)
	case len(name) > maxHost:
		return "", fmt.Errorf("host has %d bytes, at most %d are allowed", len(name), maxHost)
	}
	return name, nil
}
