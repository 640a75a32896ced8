package trustroot

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// world is a mirror with a trust root, and folders for keepers.
type world struct {
	*sigstore.Mirror

	t   *testing.T
	dir string
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{sigstore.NewMirror(t), t, filepath.Join(t.TempDir(), "made", "here")}
	w.publish(time.Now().Add(time.Hour))
	return w
}

func (w world) publish(expiry time.Time) {
	w.t.Helper()
	w.Publish(w.t, sigstore.New(w.t).TrustedRoot(w.t, 0), expiry)
}

// run runs a keeper until the end of the test, or until it is told to stop.
func (w world) run(change func(*Config)) (k *Keeper, stop func()) {
	w.t.Helper()
	config := Config{
		Dir: w.dir, Mirror: w.URL, Root: w.Root(w.t),
		Refresh: 20 * time.Millisecond, RetryFirst: time.Millisecond, RetryMost: 20 * time.Millisecond,
	}
	change(&config)
	k = New(config)
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	w.t.Cleanup(stop)
	return k, stop
}

func unchanged(*Config) {}

// eventually waits until a keeper says what is wanted.
func eventually(t *testing.T, k *Keeper, what string, is func(*signature.Trust, error) bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		trust, err := k.Trust()
		if is(trust, err) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited for %s; got trust root %v, error %v", what, trust, err)
		}
	}
}

func there(trust *signature.Trust, err error) bool { return trust != nil && err == nil }

func lacking(text string) func(*signature.Trust, error) bool {
	return func(trust *signature.Trust, err error) bool {
		return trust == nil && err != nil && strings.Contains(err.Error(), text)
	}
}

func TestKeeperFetchesWhenItIsNeeded(t *testing.T) {
	w := newWorld(t)
	k, _ := w.run(unchanged)
	time.Sleep(50 * time.Millisecond)
	if got := w.Requests(); got != 0 {
		t.Errorf("got %d requests before anybody needs a trust root, want none", got)
	}
	if _, err := k.Trust(); err == nil || !strings.Contains(err.Error(), "has not been fetched from "+w.URL+" yet") {
		t.Errorf("got %v, want that the trust root is not fetched yet", err)
	}
	eventually(t, k, "a trust root", there)
}

func TestKeeperTakesUpAnotherTrustRoot(t *testing.T) {
	w := newWorld(t)
	k, _ := w.run(unchanged)
	eventually(t, k, "a trust root", there)
	first, _ := k.Trust()
	w.publish(time.Now().Add(time.Hour))
	eventually(t, k, "another trust root", func(trust *signature.Trust, _ error) bool { return trust != first })
}

func TestKeeperGoesOnWithWhatItHas(t *testing.T) {
	w := newWorld(t)
	k, _ := w.run(unchanged)
	eventually(t, k, "a trust root", there)
	w.SetDown(true)
	for before := w.Requests(); w.Requests() < before+3; time.Sleep(time.Millisecond) {
		if _, err := k.Trust(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeeperTriesAgain(t *testing.T) {
	w := newWorld(t)
	w.SetDown(true)
	k, _ := w.run(unchanged)
	eventually(t, k, "the reason why there is none", lacking("fetch the public trust root of Sigstore: "))
	w.SetDown(false)
	eventually(t, k, "a trust root", there)
}

// A process that begins while the mirror is away has what one before it kept.
func TestKeeperBeginsWithWhatIsOnDisk(t *testing.T) {
	w := newWorld(t)
	k, stop := w.run(unchanged)
	eventually(t, k, "a trust root", there)
	stop()
	w.SetDown(true)
	k, _ = w.run(unchanged)
	eventually(t, k, "a trust root from disk", there)
}

func TestKeeperBelievesNoExpiredDisk(t *testing.T) {
	w := newWorld(t)
	expiry := time.Now().Add(5 * time.Second)
	w.publish(expiry)
	k, stop := w.run(unchanged)
	eventually(t, k, "a trust root", there)
	stop()
	time.Sleep(time.Until(expiry) + 10*time.Millisecond)
	w.SetDown(true)
	k, _ = w.run(unchanged)
	eventually(t, k, "the reason why there is none", lacking("fetch the public trust root of Sigstore: "))
}

func TestKeeperRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(world, *Config)
		want   string
	}{
		"a trust root of no form":   {func(w world, _ *Config) { w.Publish(w.t, []byte("{}"), time.Now().Add(time.Hour)) }, "read trust root of Sigstore"},
		"what has expired":          {func(w world, _ *Config) { w.publish(time.Now().Add(-time.Hour)) }, "expired"},
		"a mirror of somebody else": {func(w world, c *Config) { c.Mirror = newWorld(w.t).URL }, "timestamp"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			k, _ := w.run(func(c *Config) { tc.change(w, c) })
			eventually(t, k, "a refusal", lacking(tc.want))
		})
	}
}

// Where nothing can be kept, a trust root is fetched all the same.
func TestKeeperWithoutFolder(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k, _ := w.run(func(c *Config) { c.Dir = filepath.Join(file, "dir") })
	eventually(t, k, "a trust root", there)
}

func TestRetryAfter(t *testing.T) {
	k := New(Config{RetryFirst: time.Second, RetryMost: 10 * time.Second})
	for failures, want := range []string{"1s", "2s", "4s", "8s", "10s", "10s"} {
		if got := k.retryAfter(failures).String(); got != want {
			t.Errorf("after %d failures: got %s, want %s", failures, got, want)
		}
	}
	if got := k.retryAfter(1 << 20); got != 10*time.Second {
		t.Errorf("got %s after many failures", got)
	}
}

// What is compiled in is what the public mirror is trusted by.
func TestNewTrustsThePublicMirror(t *testing.T) {
	k := New(Config{Dir: t.TempDir()})
	if k.config.Mirror != "https://tuf-repo-cdn.sigstore.dev" || !strings.Contains(string(k.config.Root), `"_type"`) {
		t.Errorf("got mirror %q, root of trust %.40q", k.config.Mirror, k.config.Root)
	}
}
