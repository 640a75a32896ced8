package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Proxies say through which proxies sources are reached. A field that is empty leaves it to
// the environment.
type Proxies struct {
	// HTTP and HTTPS are proxies as ParseProxy reads them, for what is reached by that scheme.
	HTTP  string `json:"http_proxy,omitempty"`
	HTTPS string `json:"https_proxy,omitempty"`
	// No lists, with commas, hosts, domains and networks that are reached without a proxy.
	No string `json:"no_proxy,omitempty"`
}

func proxies(place *Proxies) fieldDecoder {
	return func(raw json.RawMessage) error {
		if isNull(raw) {
			return nil
		}
		fields, err := decodeObject(raw)
		if err != nil {
			return err
		}
		return decodeFields(fields, map[string]fieldDecoder{
			"http_proxy": optionalString(&place.HTTP), "https_proxy": optionalString(&place.HTTPS), "no_proxy": optionalString(&place.No),
		}, nil)
	}
}

func (p Proxies) validate() error {
	for _, field := range []struct{ name, value string }{{"http_proxy", p.HTTP}, {"https_proxy", p.HTTPS}} {
		if _, err := ParseProxy(field.value); err != nil {
			return fmt.Errorf("proxies: %s: %w", field.name, err)
		}
	}
	return nil
}

var proxySchemes = []string{"http", "https", "socks5", "socks5h"}

// ParseProxy reads a proxy: a URL, or host[:port], which is spoken to over plain HTTP. nil
// stands for none, "". The URL may hold a password; the error never does.
func ParseProxy(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	address := text
	if !strings.Contains(text, "://") {
		address = "http://" + text
	}
	proxy, err := url.Parse(address)
	if err != nil || proxy.Hostname() == "" || !slices.Contains(proxySchemes, proxy.Scheme) {
		return nil, fmt.Errorf("got %q, want host[:port] or a URL of the scheme %s", withoutUser(text), strings.Join(proxySchemes, ", "))
	}
	if proxy.RawQuery != "" || proxy.Fragment != "" || strings.Trim(proxy.Path, "/") != "" {
		return nil, errors.New("got a URL with more than scheme, user, host and port, want nothing behind the port")
	}
	return proxy, nil
}

// withoutUser leaves out of a URL, which need not be one, what could be a password.
func withoutUser(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	scheme, _, found := strings.Cut(text[:at], "://")
	if !found || strings.Contains(scheme, ":") {
		return text[at+1:]
	}
	return scheme + "://" + text[at+1:]
}
