package policyserver

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// mounted is a volume as the kubelet makes one of a ConfigMap: each file is a link into
// ..data, which is a link to the folder of the current version.
type mounted struct {
	t       *testing.T
	dir     string
	version int
}

// put makes the volume hold these files and no others, in one step.
func (m *mounted) put(files map[string][]byte) {
	m.t.Helper()
	m.version++
	current := filepath.Join(m.dir, "..version-"+string(rune('a'+m.version)))
	if err := os.Mkdir(current, 0o700); err != nil {
		m.t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(current, name), content, 0o600); err != nil {
			m.t.Fatal(err)
		}
		link := filepath.Join(m.dir, name)
		if _, err := os.Lstat(link); err != nil {
			if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	data := filepath.Join(m.dir, "..data")
	earlier, _ := os.Readlink(data)
	if err := os.Symlink(filepath.Base(current), data+".incoming"); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(data+".incoming", data); err != nil {
		m.t.Fatal(err)
	}
	if earlier != "" {
		if err := os.RemoveAll(filepath.Join(m.dir, earlier)); err != nil {
			m.t.Fatal(err)
		}
	}
}

func TestServeFollowsAMountedConfigMap(t *testing.T) {
	from := newImages(t)
	one := from.push(t, "one", wasmtest.Answering(`{"accepted":false,"message":"one"}`))
	two := from.push(t, "two", wasmtest.Answering(`{"accepted":false,"message":"two"}`))
	volume := &mounted{t: t, dir: t.TempDir()}
	put := func(policies, sources []byte) {
		volume.put(map[string][]byte{"policies.yml": policies, "sources.yml": sources})
	}
	put(encode(t, contract.Policies{"a": {Module: one}}), []byte("{}"))
	s := start(t, Config{Files: &Files{
		Policies: filepath.Join(volume.dir, "policies.yml"), Sources: filepath.Join(volume.dir, "sources.yml"),
	}})
	eventually(t, "the failure to reach a registry that is not trusted", func() bool {
		return s.environment.Snapshot().Failures["a"].Reason == contract.ReasonFetchFailed
	})
	says := func(id, want string) func() bool {
		return func() bool { return s.ask(t, id, "{}").Message == want }
	}
	// The sources alone change: what failed is tried again under the new ones.
	put(encode(t, contract.Policies{"a": {Module: one}}), from.sources(t))
	eventually(t, "the policy once its registry is trusted", says("a", "one"))

	put(encode(t, contract.Policies{"a": {Module: two}, "b": {Module: one}}), from.sources(t))
	eventually(t, "the changed policy", says("a", "two"))
	eventually(t, "the new policy", says("b", "one"))

	// A file that cannot be read as a whole changes nothing, and the next one counts again.
	put([]byte("a: ["), from.sources(t))
	put(encode(t, contract.Policies{"a": {Module: one}, "c": {Module: one}}), []byte("["))
	if !says("a", "two")() || !says("b", "one")() {
		t.Error("files that cannot be read took away what was served")
	}
	put(encode(t, contract.Policies{"a": {Module: two}, "c": {Module: one}}), from.sources(t))
	eventually(t, "the policy of the file after", says("c", "one"))
	eventually(t, "the end of the removed policy", func() bool { return s.ask(t, "b", "{}").HTTP == http.StatusNotFound })
}

// A tag that moves changes nothing until somebody asks for it, and then once.
func TestServeResolvesATagAgainWhenAskedTo(t *testing.T) {
	from := newImages(t)
	tag := from.push(t, "latest", wasmtest.Answering(`{"accepted":false,"message":"first"}`))
	entry := func(refresh, settings string) contract.Policies {
		return contract.Policies{"a": {Module: tag, Refresh: refresh, Settings: []byte(`{"s":"` + settings + `"}`)}}
	}
	files, change := fromFiles(t, from, entry("", "1"))
	s := start(t, Config{Files: files})
	s.waitReady(t)
	from.push(t, "latest", wasmtest.Answering(`{"accepted":false,"message":"second"}`))

	before := s.environment.Snapshot().Policies["a"].Revision
	change(entry("", "2"))
	eventually(t, "the changed settings", func() bool { return s.environment.Snapshot().Policies["a"].Revision != before })
	if got := s.ask(t, "a", "{}").Message; got != "first" {
		t.Errorf("got %q, want the module of before: settings have changed, nothing else", got)
	}
	change(entry("2026-11-23", "2"))
	eventually(t, "the module that the tag stands for now", func() bool { return s.ask(t, "a", "{}").Message == "second" })
}
