//go:build integration

package operator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver"
	wasm "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
	"github.com/kubewarden/kubewarden-operator/policyserver/server/servertest"
)

// choosy is a module that finds settings invalid which are shorter than {"n":10}.
func choosy() []byte {
	g := wasm.NewGuest()
	const enough = int32(len(`{"n":10}`))
	return g.OnValidateSettings(wasm.LocalGet(1), wasm.I32Const(enough), wasm.I32LtU,
		wasm.IfI32(g.Respond(`{"valid":false,"message":"n needs two digits"}`), wasm.Else, g.Respond(`{"valid":true}`))).Bytes()
}

// startWithMountedWebhooks starts an operator with a certificate for the loopback interface,
// and has the API server really call it: a call that fails refuses.
func (c *cluster) startWithMountedWebhooks(t *testing.T) {
	t.Helper()
	files, _ := servertest.Certificate(t)
	c.WebhookFolder, c.WebhookPort = filepath.Dir(files.Certificate), freePort(t)
	if err := c.StartOperator(); err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(files.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	change(t, c, ownWebhooks(), func(configuration *admissionregistrationv1.ValidatingWebhookConfiguration) {
		for i := range configuration.Webhooks {
			webhook := &configuration.Webhooks[i]
			address := fmt.Sprintf("https://127.0.0.1:%d%s", c.WebhookPort, *webhook.ClientConfig.Service.Path)
			webhook.ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &address, CABundle: bundle}
			webhook.FailurePolicy = new(admissionregistrationv1.Fail)
		}
	})
}

// mounted writes a Secret into files, as a kubelet does, once it is there.
func (c *cluster) mounted(t *testing.T, name string) string {
	t.Helper()
	secret := named(&corev1.Secret{}, name)
	within(t, patience, func(ctx context.Context) error { return c.mustExist(ctx, secret) })
	dir := t.TempDir()
	for file, content := range secret.Data {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serve runs a policy server with what its Pod would have mounted, and one module.
func (c *cluster) serve(t *testing.T, name string, port int, module []byte) (stop func()) {
	t.Helper()
	pki, authority, dir := c.mounted(t, render.ServingSecretName(name)), c.mounted(t, render.SecretCA), t.TempDir()
	path, policies := filepath.Join(dir, "module.wasm"), filepath.Join(dir, "policies.yml")
	for file, content := range map[string]string{path: string(module), policies: fmt.Sprintf(`{"loaded":{"module":"file://%s","settings":{"n":10}}}`, path)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := policyserver.New(t.Context(), policyserver.Config{
		APIAddress: fmt.Sprintf("127.0.0.1:%d", port), ReadinessAddress: "127.0.0.1:0",
		Certificates: &server.CertificateFiles{
			Certificate: filepath.Join(pki, corev1.TLSCertKey), Key: filepath.Join(pki, corev1.TLSPrivateKeyKey),
			OperatorCAs: []string{filepath.Join(authority, render.KeyCA), filepath.Join(authority, render.KeyOldCA)},
		},
		MaxBodyBytes: 1 << 20, Workers: 2, QueueLimit: 2, PolicyTimeout: time.Second, DownloadDir: filepath.Join(dir, "modules"),
		Files: &policyserver.Files{Policies: policies}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	hurry, hurryNow := context.WithCancel(ctx)
	hurryNow()
	ended := make(chan error, 1)
	go func() { ended <- made.Run(ctx, hurry) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// warnings collects what an API server warns of.
type warnings struct {
	mutex sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) take() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	taken := strings.Join(w.texts, "\n")
	w.texts = nil
	return taken
}

// What becomes of a try.
const taken, refused = "taken: ", "refused: "

// settingsStage is a policy whose settings can be tried out.
type settingsStage struct {
	user   client.Client
	warned *warnings
	policy *policiesv1.ClusterAdmissionPolicy
}

// try has the API server take a change of the settings without making it, or the creation of
// a policy of another name, and gives its words.
func (s *settingsStage) try(ctx context.Context, name, settings string) string {
	s.warned.take()
	policy := s.policy.DeepCopy()
	var err error
	if name == policy.Name {
		// The operator may write at the same time: this says nothing of the rest.
		edit := fmt.Appendf(nil, `{"spec":{"settings":%s}}`, settings)
		err = s.user.Patch(ctx, policy, client.RawPatch(types.MergePatchType, edit), client.DryRunAll)
	} else {
		policy.ObjectMeta = metav1.ObjectMeta{Name: name}
		policy.Spec.Settings = runtime.RawExtension{Raw: []byte(settings)}
		err = s.user.Create(ctx, policy, client.DryRunAll)
	}
	if err != nil {
		return refused + err.Error()
	}
	return taken + s.warned.take()
}

// answers complains unless try gives words that begin with one text and hold another.
func (s *settingsStage) answers(name, settings, begin, part string) func(context.Context) error {
	return func(ctx context.Context) error {
		if got := s.try(ctx, name, settings); !strings.HasPrefix(got, begin) || !strings.Contains(got, part) {
			return fmt.Errorf("settings %s of %s: got %q, want %s %q", settings, name, got, begin, part)
		}
		return nil
	}
}

// A user who writes settings that the module finds invalid hears so at once, from a module
// that a replica has loaded; without a replica to ask, the policy is taken with a warning.
func TestSettingsAreCheckedWhenAPolicyIsWritten(t *testing.T) {
	for name, prepare := range map[string][]func(*cluster) error{
		"built-in":     nil,
		"cert-manager": {(*cluster).InstallCertManager, (*cluster).StartIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			c := ownCluster(t, prepare...)
			c.startWithMountedWebhooks(t)
			if err := c.CreateKubewarden(); err != nil {
				t.Fatal(err)
			}
			checkSettings(t, c)
		})
	}
}

func checkSettings(t *testing.T, c *cluster) {
	t.Helper()
	s := &settingsStage{warned: &warnings{}}
	config := rest.CopyConfig(c.Config)
	config.WarningHandler = s.warned
	var err error
	if s.user, err = c.Client(config); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	policyServer := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "checks"}}
	policyServer.Spec.WebhookPort = new(int32(port))
	within(t, patience, func(ctx context.Context) error { return c.admin.Create(ctx, policyServer.DeepCopy()) })
	s.policy = &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "numbers"}}
	s.policy.Spec.PolicyServer, s.policy.Spec.Module = "checks", "registry://example.test/numbers:v1"
	s.policy.Spec.Settings = runtime.RawExtension{Raw: []byte(`{"n":10}`)}
	s.policy.Spec.Rules = []policiesv1.Rule{podRule(admissionregistrationv1.Create)}
	if err := c.admin.Create(t.Context(), s.policy); err != nil {
		t.Fatal(err)
	}
	within(t, patience, c.configures(s.policy))
	within(t, patience, s.answers("numbers", `{"n":1}`, taken, "")) // nobody can say yet

	module := choosy()
	sum := sha256.Sum256(module)
	stop := c.serve(t, "checks", port, module)
	within(t, patience, func(ctx context.Context) error {
		return c.mustExist(ctx, named(&corev1.Secret{}, render.OperatorAsClient().Presented))
	})
	replica := c.startReplica(t, "checks", "policy-server-checks-a")
	replica.Tag = "sha256:" + hex.EncodeToString(sum[:])
	replica.setAddress(t, "127.0.0.1")
	replica.setReady(t, corev1.ConditionTrue)
	replica.load(t)

	const refusal = "spec.settings: Invalid value: Policy settings are invalid: n needs two digits"
	within(t, patience, s.answers("numbers", `{"n":1}`, refused, refusal))
	for _, check := range []func(context.Context) error{
		s.answers("numbers", `{"n":11}`, taken, ""),
		s.answers("more-numbers", `{"n":1}`, refused, refusal),
		s.answers("more-numbers", `{"n":11}`, taken, ""),
	} {
		if err := check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := s.try(t.Context(), "numbers", `{"n":11}`); got != taken {
		t.Errorf("got %q for good settings, want no warning", got)
	}
	// A change of something else asks nobody.
	stop()
	within(t, patience, s.answers("numbers", `{"n":1}`, taken, "spec.settings was not checked: call replica policy-server-checks-a: "))
	if got := s.try(t.Context(), "numbers", `{"n":10}`); got != taken {
		t.Errorf("got %q for settings that did not change, want no warning", got)
	}
}

// setAddress is what a kubelet does once a Pod has a network.
func (r *replica) setAddress(t *testing.T, address string) {
	t.Helper()
	pod := &corev1.Pod{}
	if err := r.cluster.admin.Get(t.Context(), key(r.name), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.PodIP, pod.Status.PodIPs = address, []corev1.PodIP{{IP: address}}
	if err := r.cluster.admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatalf("give Pod %s an address: %v", r.name, err)
	}
}
