package dns

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/dns/dnstest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

func lookup(ctx context.Context, c *Capability, payload string) (string, error) {
	answer, err := c.Call(ctx, host.Request{PolicyID: "kw.cap.mine", Operation: "v1/dns_lookup_host", Payload: []byte(payload)})
	return string(answer), err
}

func TestLookup(t *testing.T) {
	server := dnstest.New(t)
	c := New(Config{Resolver: server.Resolver(), Now: time.Now})
	got, err := lookup(t.Context(), c, `"twice.test."`)
	if err != nil {
		t.Fatal(err)
	}
	var answer addresses
	if err := json.Unmarshal([]byte(got), &answer); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1"} {
		if strings.Count(got, `"`+want+`"`) != 1 {
			t.Errorf("got %s, want %s once", got, want)
		}
	}
	if len(answer.IPs) != 3 {
		t.Errorf("got %s, want three addresses", got)
	}
	if got, err := lookup(t.Context(), c, ` "192.0.2.7" `); err != nil || got != `{"ips":["192.0.2.7"]}` {
		t.Errorf("got %s, %v for an address", got, err)
	}
	var refusal host.RefusalError
	if _, err := lookup(t.Context(), c, `"absent.test."`); err == nil || errors.As(err, &refusal) || !strings.Contains(err.Error(), "lookup absent.test.: no such host") {
		t.Errorf("got %v for a host that there is none of, want a failure that says so", err)
	}
}

func TestLookupIsKeptWhenToldTo(t *testing.T) {
	for name, tc := range map[string]struct {
		ttl  time.Duration
		want int64
	}{"kept": {time.Minute, 1}, "asked each time": {0, 3}} {
		t.Run(name, func(t *testing.T) {
			server := dnstest.New(t)
			c := New(Config{TTL: tc.ttl, Resolver: server.Resolver(), Now: time.Now})
			for _, name := range []string{`"twice.test."`, `"TWICE.test."`, `"twice.test."`} {
				if _, err := lookup(t.Context(), c, name); err != nil {
					t.Fatal(err)
				}
			}
			if got := server.Questions(); got != tc.want {
				t.Errorf("the name server was asked %d times, want %d", got, tc.want)
			}
		})
	}
}

func TestLookupEndsInTime(t *testing.T) {
	server := dnstest.New(t)
	server.Silence()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := lookup(ctx, New(Config{Resolver: server.Resolver(), Now: time.Now}), `"twice.test."`); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v of a name server that is silent, want that the time is up", err)
	}
}

func TestLookupRefusesPayloads(t *testing.T) {
	c := New(Config{Now: time.Now})
	for payload, want := range map[string]string{
		``:                                   `payload is "";`,
		`null`:                               `payload is "null"; want the name of a host, as a text in JSON`,
		`{"host":1}`:                         "want the name of a host",
		`["a"]`:                              "want the name of a host",
		`"a`:                                 "unexpected end of JSON input",
		`"a" "b"`:                            "invalid character",
		`""`:                                 "host is empty",
		`"` + strings.Repeat("a", 255) + `"`: "host has 255 bytes, at most 254 are allowed",
	} {
		_, err := lookup(t.Context(), c, payload)
		var refusal host.RefusalError
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want a refusal that contains %q", payload, err, want)
		}
	}
	_, err := c.Call(t.Context(), host.Request{Operation: "v2/dns_lookup_host"})
	if err == nil || err.Error() != "unknown operation: v2/dns_lookup_host" {
		t.Errorf("got %v for an operation that there is none of", err)
	}
}

// Whatever a guest sends, what is looked up is a text that it sent.
func FuzzDecodeHost(f *testing.F) {
	for _, seed := range []string{`"example.org"`, `null`, `"\u0000"`, `{"host":"x"}`, `" "`, `""`, "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		name, err := decodeHost(payload)
		var text string
		if err == nil && (json.Unmarshal(payload, &text) != nil || text != name || name == "" || len(name) > maxHost) {
			t.Errorf("%q was read as host %q", payload, name)
		}
	})
}
