package fetch

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// proxyPicker gives the proxy that a URL is reached through; nil for none.
type proxyPicker func(*url.URL) (*url.URL, error)

// pickProxies reads the proxies of sources.yml and, where those are silent, of the
// environment. A variable in upper case has precedence over the same in lower case, as
// upstream has it. The host localhost and loopback addresses are never reached through a
// proxy.
func pickProxies(configured contract.Proxies) (proxyPicker, error) {
	config := httpproxy.Config{NoProxy: cmp.Or(configured.No, os.Getenv("NO_PROXY"), os.Getenv("no_proxy"))}
	for _, proxy := range []struct {
		place      *string
		configured string
		variables  [2]string
	}{
		{&config.HTTPProxy, configured.HTTP, [2]string{"HTTP_PROXY", "http_proxy"}},
		{&config.HTTPSProxy, configured.HTTPS, [2]string{"HTTPS_PROXY", "https_proxy"}},
	} {
		name, value := "proxies of sources", proxy.configured
		for _, variable := range proxy.variables {
			if value == "" {
				name, value = "variable "+variable, os.Getenv(variable)
			}
		}
		parsed, err := contract.ParseProxy(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
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
