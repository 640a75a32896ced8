//go:build integration

package applytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Namespace is the operator's in tests; it exists.
const Namespace = "kubewarden"

// Environment is an API server and its clients.
type Environment struct {
	// Direct reads and writes without a cache.
	Direct client.Client
	// Cached reads from caches; Requests has what else it does.
	Cached client.Client
	// Uncached is the reader beside Cached; its requests are in Requests too.
	Uncached client.Reader
	Requests *Requests

	server *envtest.Environment
	stop   context.CancelFunc
}

// Start starts the API server. Objects with a selector in narrow are cached only where it
// matches.
func Start(narrow map[client.Object]cache.ByObject) (*Environment, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	definitions, err := definitions()
	if err != nil {
		return nil, err
	}
	server := &envtest.Environment{CRDDirectoryPaths: definitions, ErrorIfCRDPathMissing: true, Scheme: scheme}
	config, err := server.Start()
	if err != nil {
		return nil, fmt.Errorf("start the API server: %w", err)
	}
	environment := &Environment{server: server, Requests: &Requests{}}
	if err := environment.connect(config, scheme, narrow); err != nil {
		return nil, errors.Join(err, environment.Stop())
	}
	return environment, nil
}

// Stop stops the API server.
func (e *Environment) Stop() error {
	if e.stop != nil {
		e.stop()
	}
	return e.server.Stop()
}

func (e *Environment) connect(config *rest.Config, scheme *runtime.Scheme, narrow map[client.Object]cache.ByObject) error {
	var err error
	if e.Direct, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	namespace := &corev1.Namespace{}
	namespace.Name = Namespace
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	if err := e.Direct.Create(ctx, namespace); err != nil {
		return fmt.Errorf("create the namespace: %w", err)
	}
	caches, err := cache.New(config, cache.Options{Scheme: scheme, ByObject: narrow})
	if err != nil {
		return fmt.Errorf("make the caches: %w", err)
	}
	go func() { _ = caches.Start(ctx) }() // ends without an error when the context does
	if !caches.WaitForCacheSync(ctx) {
		return errors.New("fill the caches: ended early")
	}
	counted := rest.CopyConfig(config)
	counted.Wrap(e.Requests.count)
	if e.Cached, err = client.New(counted, client.Options{Scheme: scheme, Cache: &client.CacheOptions{Reader: caches}}); err != nil {
		return fmt.Errorf("make a cached client: %w", err)
	}
	if e.Uncached, err = client.New(counted, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make an uncached client: %w", err)
	}
	return nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, certmanagerv1.AddToScheme,
		policiesv1.AddToScheme, operatorv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("make the scheme: %w", err)
		}
	}
	return scheme, nil
}

// definitions are the folders with our own CRDs and with cert-manager's, which come with
// its module.
func definitions() ([]string, error) {
	command := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager")
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("find the module of cert-manager: %w", err)
	}
	return []string{
		// Tests run in the folder of their package, which is two below the root.
		filepath.Join("..", "..", "config", "crd", "bases"),
		filepath.Join(strings.TrimSpace(string(output)), "deploy", "crds"),
	}, nil
}

// Requests are the requests that the operator's client made, watches of its caches aside.
type Requests struct {
	mutex sync.Mutex
	made  []string
}

// Take returns the requests since the last call: method and path each.
func (r *Requests) Take() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	made := r.made
	r.made = nil
	return made
}

func (r *Requests) count(transport http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		// Discovery belongs to the mapping of kinds and happens once per kind.
		if path := request.URL.Path; strings.Contains(path, "/namespaces/") || strings.Count(path, "/") > 4 {
			r.mutex.Lock()
			r.made = append(r.made, request.Method+" "+path)
			r.mutex.Unlock()
		}
		return transport.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }
