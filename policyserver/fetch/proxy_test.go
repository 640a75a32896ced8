package fetch

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// proxyServer is a proxy on the loopback interface. It takes every host for the loopback
// address.
type proxyServer struct {
	*httptest.Server

	// status, when not 0, is what every request is answered with.
	status int
	// user, when set, is who may use it.
	user *url.Userinfo

	mutex sync.Mutex
	seen  []string // method and host of each request
}

func newProxyServer(t *testing.T) *proxyServer {
	t.Helper()
	p := &proxyServer{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *proxyServer) requests() []string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return slices.Clone(p.seen)
}

// as is the proxy's URL with a user and a password.
func (p *proxyServer) as(user string) string {
	return strings.Replace(p.URL, "://", "://"+user+"@", 1)
}

func (p *proxyServer) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	p.mutex.Lock()
	p.seen = append(p.seen, request.Method+" "+request.Host)
	p.mutex.Unlock()
	basic := &http.Request{Header: http.Header{"Authorization": request.Header["Proxy-Authorization"]}}
	if name, password, _ := basic.BasicAuth(); p.user != nil && url.UserPassword(name, password).String() != p.user.String() {
		writer.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if p.status != 0 {
		writer.WriteHeader(p.status)
		return
	}
	if request.Method == http.MethodConnect {
		p.tunnel(writer, request)
		return
	}
	response, err := (&http.Transport{DialContext: dialLoopback, DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		writer.WriteHeader(http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	maps.Copy(writer.Header(), response.Header)
	writer.WriteHeader(response.StatusCode)
	_, _ = io.Copy(writer, response.Body)
}

func (p *proxyServer) tunnel(writer http.ResponseWriter, request *http.Request) {
	host, err := dialLoopback(request.Context(), "tcp", request.Host)
	if err != nil {
		writer.WriteHeader(http.StatusBadGateway)
		return
	}
	writer.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(writer).Hijack()
	if err != nil {
		_ = host.Close()
		return
	}
	go func() {
		_, _ = io.Copy(host, buffered)
		_ = host.Close()
	}()
	_, _ = io.Copy(client, host)
	_ = client.Close()
}

func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
}

// name is a host's address under a name that is no loopback address: proxies are never
// asked for those. Certificates of httptest have it.
func (h *host) name() string {
	_, port, _ := net.SplitHostPort(h.address())
	return "example.com:" + port
}

// named is what hosts serve and how they are trusted, by their names.
type named struct {
	secure, plain *host
	sources       contract.Sources
	// urls are the same module by each way.
	registry, plainRegistry, https, http string
}

func newNamed(t *testing.T) named {
	t.Helper()
	n := named{secure: newTLSHost(t), plain: newPlainHost(t)}
	for _, h := range []*host{n.secure, n.plain} {
		h.push(t, "v1", layer{module("one"), MediaTypeModule})
		h.files["/m.wasm"] = module("one")
	}
	n.sources = contract.Sources{
		InsecureSources:   []string{n.plain.name()},
		SourceAuthorities: map[string][]contract.Authority{n.secure.name(): {{Type: contract.AuthorityData, Data: string(n.secure.authority())}}},
	}
	n.registry, n.plainRegistry = "registry://"+n.secure.name()+"/policies:v1", n.plain.name()+"/policies:v1"
	n.https, n.http = "https://"+n.secure.name()+"/m.wasm", "http://"+n.plain.name()+"/m.wasm"
	return n
}

// client takes every host for the loopback address, as the proxy does, and says which
// addresses were dialled.
func (n named) client(t *testing.T, configured, further contract.Proxies) (testClient, func() []string) {
	t.Helper()
	n.sources.Proxies = configured
	c := testClient{New(Config{Dir: t.TempDir(), Sources: n.sources, Proxies: further, Timeout: 10 * time.Second}), t}
	var mutex sync.Mutex
	var dialled []string
	c.transports.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mutex.Lock()
		defer mutex.Unlock()
		dialled = append(dialled, address)
		return dialLoopback(ctx, network, address)
	}
	return c, func() []string {
		mutex.Lock()
		defer mutex.Unlock()
		return slices.Clone(dialled)
	}
}

func TestFetchThroughProxies(t *testing.T) {
	n := newNamed(t)
	const dead = "http://127.0.0.1:1"
	for name, tc := range map[string]struct {
		configured, further contract.Proxies // PROXY stands for the proxy
		urls                []string
		around              bool
	}{
		"for HTTPS":                    {further: contract.Proxies{HTTPS: "PROXY"}, urls: []string{n.registry, n.https}},
		"for HTTP":                     {further: contract.Proxies{HTTP: "PROXY"}, urls: []string{n.http, n.plainRegistry}},
		"sources":                      {configured: contract.Proxies{HTTP: "PROXY", HTTPS: "PROXY"}, urls: []string{n.registry, n.https, n.http, n.plainRegistry}},
		"sources before others":        {configured: contract.Proxies{HTTPS: "PROXY", No: "other.test"}, further: contract.Proxies{HTTPS: dead, No: "*"}, urls: []string{n.https}},
		"a field of sources alone":     {configured: contract.Proxies{HTTP: dead}, further: contract.Proxies{HTTPS: "PROXY"}, urls: []string{n.https}},
		"that for HTTP is not for TLS": {further: contract.Proxies{HTTP: "PROXY"}, urls: []string{n.registry, n.https}, around: true},
		"none for a host":              {further: contract.Proxies{HTTP: "PROXY", HTTPS: "PROXY", No: "other.test,example.com"}, urls: []string{n.registry, n.https, n.http}, around: true},
		"none for a port, by sources":  {configured: contract.Proxies{No: n.secure.name()}, further: contract.Proxies{HTTPS: "PROXY"}, urls: []string{n.https}, around: true},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := newProxyServer(t)
			place := func(proxies contract.Proxies) contract.Proxies {
				proxies.HTTP, proxies.HTTPS = strings.Replace(proxies.HTTP, "PROXY", proxy.URL, 1), strings.Replace(proxies.HTTPS, "PROXY", proxy.URL, 1)
				return proxies
			}
			for _, url := range tc.urls {
				c, dialled := n.client(t, place(tc.configured), place(tc.further))
				before := len(proxy.requests())
				c.wantModule(url, "", module("one"))
				if went := len(proxy.requests()) > before; went == tc.around {
					t.Errorf("%s: got requests to the proxy %v, want some: %t", url, proxy.requests(), !tc.around)
				}
				if direct := slices.Contains(dialled(), n.secure.name()) || slices.Contains(dialled(), n.plain.name()); direct && url != n.plainRegistry && !tc.around {
					t.Errorf("%s: got connections to %v, want the proxy only", url, dialled())
				}
			}
		})
	}
}

func TestFetchProxyIsNotForLoopback(t *testing.T) {
	n := newNamed(t)
	proxy := newProxyServer(t)
	sources := n.secure.trusted()
	sources.Proxies.HTTPS = proxy.URL
	client(t, sources).wantModule(n.secure.url("v1"), "", module("one"))
	if got := proxy.requests(); len(got) > 0 {
		t.Errorf("got %v at the proxy, want nothing", got)
	}
}

func TestFetchProxyGetsItsPassword(t *testing.T) {
	n := newNamed(t)
	proxy := newProxyServer(t)
	proxy.user = url.UserPassword("user", "pass word")
	address := proxy.as("user:pass%20word")
	c, _ := n.client(t, contract.Proxies{HTTP: address, HTTPS: address}, contract.Proxies{})
	for _, url := range []string{n.registry, n.https, n.http} {
		c.wantModule(url, "", module("one"))
	}
	n.secure.password = "of the registry"
	c.wantError(n.registry, contract.ReasonModuleForbidden, "")
}

// What a proxy does wrong is not what the host does wrong: it is tried again soon.
func TestFetchProxyFails(t *testing.T) {
	n := newNamed(t)
	refusing, broken, gone := newProxyServer(t), newProxyServer(t), newProxyServer(t)
	refusing.user = url.UserPassword("user", "right")
	broken.status = http.StatusBadGateway
	gone.Close()
	for name, tc := range map[string]struct {
		proxy *proxyServer
		want  string
	}{
		"it wants another password": {refusing, "407 Proxy Authentication Required"},
		"it cannot reach the host":  {broken, "502 Bad Gateway"},
		"it is gone":                {gone, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			address := tc.proxy.as("user:secret")
			c, dialled := n.client(t, contract.Proxies{HTTP: address, HTTPS: address}, contract.Proxies{})
			for _, url := range []string{n.registry, n.plainRegistry, n.https, n.http} {
				c.wantError(url, contract.ReasonFetchFailed, "through the proxy "+tc.proxy.URL)
				c.wantError(url, contract.ReasonFetchFailed, tc.want)
				if _, err := c.Fetch(t.Context(), url, ""); err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: got %v, want an error without the password", url, err)
				}
			}
			if got := dialled(); slices.ContainsFunc(got, func(address string) bool { return strings.HasPrefix(address, "example.com") }) {
				t.Errorf("got connections to %v, want none around the proxy", got)
			}
		})
	}
}

func TestFetchRefusesProxies(t *testing.T) {
	n := newNamed(t)
	c, _ := n.client(t, contract.Proxies{}, contract.Proxies{HTTPS: "ftp://user:secret@proxy.test"})
	const want = `https_proxy: got "ftp://proxy.test", want host[:port] or a URL`
	c.wantError(n.https, contract.ReasonFetchFailed, want)
	if err := c.CheckSources(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}
