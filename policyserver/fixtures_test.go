package policyserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/server/servertest"
)

// images is a registry with TLS on the loopback interface.
type images struct{ *httptest.Server }

func newImages(t *testing.T) images {
	t.Helper()
	server := httptest.NewUnstartedServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return images{server}
}

// push stores a module under a tag and gives its URL.
func (i images) push(t *testing.T, tag string, module []byte) string {
	t.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), fetch.MediaTypeConfig)
	image, err := mutate.AppendLayers(image, static.NewLayer(module, fetch.MediaTypeModule))
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(i.Listener.Addr().String() + "/policies:" + tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image, remote.WithTransport(i.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	return "registry://" + reference.String()
}

// sources trust the registry.
func (i images) sources(t *testing.T) []byte {
	t.Helper()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
	encoded, err := contract.EncodeSources(contract.Sources{SourceAuthorities: map[string][]contract.Authority{
		i.Listener.Addr().String(): {{Type: contract.AuthorityData, Data: string(authority)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// write replaces a file in one step.
func write(t *testing.T, path string, content []byte) {
	t.Helper()
	incoming := path + ".incoming"
	if err := os.WriteFile(incoming, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(incoming, path); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, policies contract.Policies) []byte {
	t.Helper()
	encoded, err := contract.EncodePolicies(policies)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// running is a policy server with a client that trusts it and speaks h2.
type running struct {
	*PolicyServer

	client *http.Client
	stop   context.CancelFunc
	ended  chan error
}

// start runs a policy server with TLS on free ports.
func start(t *testing.T, config Config) *running {
	t.Helper()
	files, trusted := servertest.Certificate(t)
	if config.Certificates != nil {
		files.OperatorCAs = config.Certificates.OperatorCAs
	}
	config.Certificates = files
	config.Version = "0.0.0-test"
	config.APIAddress, config.ReadinessAddress, config.MetricsAddress = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.MaxBodyBytes, config.Workers, config.QueueLimit = 8<<20, 8, 64
	if config.PolicyTimeout == 0 {
		config.PolicyTimeout = 2 * time.Second
	}
	if config.DownloadDir == "" {
		config.DownloadDir = t.TempDir()
	}
	config.Now = time.Now
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	policyServer, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	hurry, hurryNow := context.WithCancel(context.Background())
	hurryNow()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	r := &running{
		PolicyServer: policyServer, stop: stop, ended: make(chan error, 1),
		client: &http.Client{Transport: transport, Timeout: time.Minute},
	}
	go func() { r.ended <- policyServer.Run(ctx, hurry) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// answer is what the API server reads of an AdmissionReview's response, and the status
// that it came with.
type answer struct {
	HTTP     int
	UID      string
	Allowed  bool
	Message  string
	Code     int
	Patch    string
	Warnings []string
}

// ask sends an AdmissionReview for an object to a policy.
func (r *running) ask(t *testing.T, policyID, object string) answer {
	t.Helper()
	got, err := r.tryAsk(policyID, object)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (r *running) tryAsk(policyID, object string) (answer, error) {
	review := fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1",`+
		`"kind":{"group":"","version":"v1","kind":"ConfigMap"},"resource":{"group":"","version":"v1","resource":"configmaps"},`+
		`"namespace":"team","name":"n","operation":"CREATE","userInfo":{"username":"jane"},"object":%s}}`, object)
	response, err := r.client.Post("https://"+r.Address("API")+contract.ValidatePath(policyID), "application/json", bytes.NewReader([]byte(review)))
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	var decoded struct {
		Response struct {
			UID     string
			Allowed bool
			Patch   []byte
			Status  struct {
				Message string
				Code    int
			}
			Warnings []string
		}
	}
	if response.ProtoMajor != 2 {
		return answer{}, fmt.Errorf("got protocol %s, want HTTP/2", response.Proto)
	}
	if response.StatusCode != http.StatusOK {
		return answer{HTTP: response.StatusCode}, nil
	}
	err = json.NewDecoder(response.Body).Decode(&decoded)
	return answer{
		HTTP: response.StatusCode, UID: decoded.Response.UID, Allowed: decoded.Response.Allowed, Message: decoded.Response.Status.Message,
		Code: decoded.Response.Status.Code, Patch: string(decoded.Response.Patch), Warnings: decoded.Response.Warnings,
	}, err
}

// page gets a plain HTTP page of another port.
func (r *running) page(t *testing.T, port, path string) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + r.Address(port) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func (r *running) waitReady(t *testing.T) {
	t.Helper()
	eventually(t, "readiness", func() bool {
		status, _ := r.page(t, "readiness", contract.PathReadiness)
		return status == http.StatusOK
	})
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("%s did not come true in a minute", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
