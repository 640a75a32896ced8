package fetch

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// proxyPicker gives the proxy that a URL is reached through; nil for none.
type proxyPicker func(*url.URL) (*url.URL, error)

// pickProxies reads the proxies of sources.yml and, where those are silent, further ones.
// The host localhost and loopback addresses are never reached through a proxy.
func pickProxies(configured, further contract.Proxies) (proxyPicker, error) {
	config := httpproxy.Config{NoProxy: cmp.Or(configured.No, further.No)}
	for _, proxy := range []struct {
		name, value string
		place       *string
	}{
		{"http_proxy", cmp.Or(configured.HTTP, further.HTTP), &config.HTTPProxy},
		{"https_proxy", cmp.Or(configured.HTTPS, further.HTTPS), &config.HTTPSProxy},
	} {
		parsed, err := contract.ParseProxy(proxy.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", proxy.name, err)
		}
		if parsed != nil {
			*proxy.place = parsed.String()
		}
	}
	return config.ProxyFunc(), nil
}

// proxy is the proxy for a URL; nil for none.
func (t *transports) proxy(target *url.URL) (*url.URL, error) {
	if t.pickFailed != nil {
		return nil, t.pickFailed
	}
	return t.pick(target)
}

// roundTrip sends a request, and names the proxy where that is what fails. What a proxy
// answers of its own accord is no answer of the host.
func (t *transports) roundTrip(transport *http.Transport, request *http.Request) (*http.Response, error) {
	proxy, err := t.proxy(request.URL)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if proxy == nil {
		return response, err
	}
	// No user and no password: errors end up in the status of policies.
	address := proxy.Scheme + "://" + proxy.Host
	if err != nil {
		return nil, fmt.Errorf("through the proxy %s: %w", address, err)
	}
	if request.URL.Scheme == "http" && fromProxy(response.StatusCode) {
		_ = response.Body.Close()
		return nil, fmt.Errorf("through the proxy %s: the answer is %s", address, response.Status)
	}
	return response, nil
}

// fromProxy says whether a status over plain HTTP, where a proxy answers in the place of the
// host, is most likely the proxy's own.
func fromProxy(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// checkTunnel is an error when a proxy does not connect to a host.
func checkTunnel(_ context.Context, _ *url.URL, request *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("it answers %s to CONNECT %s", response.Status, request.Host)
}
