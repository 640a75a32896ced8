package fetch

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// dockerConfig makes a config.json, and a PATH in which nothing of the machine counts. It
// gives the file and the folder that is first in PATH.
func dockerConfig(t *testing.T, content string) (file, programs string) {
	t.Helper()
	programs = t.TempDir()
	t.Setenv("PATH", programs+":/usr/bin:/bin")
	t.Setenv("DOCKER_AUTH_CONFIG", "")
	file = filepath.Join(t.TempDir(), "config.json")
	if content != "" {
		writeFile(t, file, []byte(content))
	}
	return file, programs
}

// helper makes docker-credential-<name> out of the lines of a shell script, which finds the
// registry in $registry.
func helper(t *testing.T, programs, name, script string) {
	t.Helper()
	text := "#!/bin/sh\n[ \"$1\" = get ] || exit 9\nread -r registry\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(programs, helperPrefix+name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func keychainClient(t *testing.T, h *host, log *slog.Logger, files ...string) testClient {
	t.Helper()
	return testClient{New(Config{
		Dir: t.TempDir(), Sources: h.trusted(), Timeout: 10 * time.Second, Logger: log,
		Keychain: DockerKeychain{Files: files, HelperTimeout: 2 * time.Second},
	}), t}
}

func TestDockerKeychain(t *testing.T) {
	h := newTLSHost(t)
	h.password = "s3cret"
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	auth := base64.StdEncoding.EncodeToString([]byte("user:s3cret"))
	knows := fmt.Sprintf(`[ "$registry" = %s ] && echo '{"ServerURL":"x","Username":"user","Secret":"s3cret"}'`, h.address())
	const knowsNothing = "echo credentials not found in native keychain; exit 1"
	for name, tc := range map[string]struct {
		config, script string
		want           contract.Reason // "" for success
	}{
		"no file":                               {want: contract.ReasonModuleForbidden},
		"another registry's":                    {config: `{"auths":{"other.test":{"auth":"AUTH"}}}`, want: contract.ReasonModuleForbidden},
		"user and password":                     {config: `{"auths":{"HOST":{"auth":"AUTH"}},"HttpHeaders":{"a":"b"}}`},
		"of one repository":                     {config: `{"auths":{"HOST/policies":{"auth":"AUTH"},"HOST":{"auth":"eDp5"}}}`},
		"under a URL":                           {config: `{"auths":{"https://HOST/v1/":{"auth":"AUTH"}}}`},
		"wrong":                                 {config: `{"auths":{"HOST":{"auth":"dXNlcjp3cm9uZw=="}}}`, want: contract.ReasonModuleForbidden},
		"helper of a registry":                  {config: `{"credHelpers":{"HOST":"test"}}`, script: knows},
		"helper of another registry":            {config: `{"credHelpers":{"other.test":"test"}}`, script: knows, want: contract.ReasonModuleForbidden},
		"helper of all registries":              {config: `{"credsStore":"test"}`, script: knows},
		"helper of a registry before all":       {config: `{"credsStore":"absent","credHelpers":{"HOST":"test"}}`, script: knows},
		"helper that does not know it":          {config: `{"credsStore":"test"}`, script: knowsNothing, want: contract.ReasonModuleForbidden},
		"helper that leaves it to the file":     {config: `{"credsStore":"test","auths":{"HOST":{"auth":"AUTH"}}}`, script: knowsNothing},
		"helper before the file":                {config: `{"credsStore":"test","auths":{"HOST":{"auth":"eDp5"}}}`, script: knows},
		"helper that knows a wrong password":    {config: `{"credsStore":"test"}`, script: `echo '{"Username":"user","Secret":"old"}'`, want: contract.ReasonModuleForbidden},
		"helper that has other things to say":   {config: `{"credsStore":"test"}`, script: "echo warning >&2\n" + knows},
		"helper for one repository of the host": {config: `{"credHelpers":{"HOST/policies":"test"}}`, script: `echo '{"Username":"user","Secret":"s3cret"}'`},
	} {
		t.Run(name, func(t *testing.T) {
			file, programs := dockerConfig(t, strings.NewReplacer("HOST", h.address(), "AUTH", auth).Replace(tc.config))
			if tc.script != "" {
				helper(t, programs, "test", tc.script)
			}
			c := keychainClient(t, h, nil, file)
			if tc.want == "" {
				c.wantModule(h.url("v1"), "", module("one"))
			} else {
				c.wantError(h.url("v1"), tc.want, "")
			}
		})
	}
}

// A helper that fails is as good as none: what needs no credentials is fetched, and what
// does is refused with the helper's name, and without what it prints.
func TestDockerKeychainHelperFails(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	pidFile := filepath.Join(t.TempDir(), "pid")
	for name, tc := range map[string]struct{ config, script, want string }{
		"absent":               {want: "executable file not found in $PATH"},
		"fails":                {script: "echo s3cret; echo s3cret >&2; exit 3", want: "exit status 3"},
		"prints rubbish":       {script: "echo s3cret", want: "it prints no credentials"},
		"prints no secret":     {script: `echo '{"Username":"s3cret"}'`, want: "it prints no credentials"},
		"prints nothing":       {script: "true", want: "it prints no credentials"},
		"prints without end":   {script: "while :; do echo s3cret; done", want: "it prints more than 65536 bytes"},
		"hangs":                {script: "sleep 1000 & echo $! > " + pidFile + "; wait", want: "it gave no answer within 2s"},
		"is no name":           {config: `{"credHelpers":{"HOST":"../test"}}`, want: "its name has a slash"},
		"is in no config.json": {config: "{s3cret", want: "config.json"},
		"is in a bad entry":    {config: `{"auths":{"HOST":{"auth":"s3cret:"}}}`, want: "config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			config, named := `{"credHelpers":{"HOST":"test"}}`, "credential helper docker-credential-test for "+h.address()
			if tc.config != "" {
				config, named = tc.config, ""
			}
			file, programs := dockerConfig(t, strings.Replace(config, "HOST", h.address(), 1))
			if tc.script != "" {
				helper(t, programs, "test", tc.script)
			}
			var log strings.Builder
			c := keychainClient(t, h, slog.New(slog.NewJSONHandler(&log, nil)), file)
			h.password = ""
			c.wantModule(h.url("v1"), "", module("one"))
			h.password = "other"
			c.wantError(h.url("v1"), contract.ReasonModuleForbidden, tc.want)
			c.wantError(h.url("v1"), contract.ReasonModuleForbidden, "asked without credentials: "+named)
			_, err := c.Fetch(t.Context(), h.url("v1"), "")
			if text := err.Error() + log.String(); strings.Contains(text, "s3cret") || !strings.Contains(log.String(), "going on without") {
				t.Errorf("got error %v and log %s, want a warning and both without a secret", err, &log)
			}
		})
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		t.Fatalf("got pid %q (error %v)", text, err)
	}
	waitUntilGone(t, pid)
}

// waitUntilGone fails when a process is still there after some seconds.
func waitUntilGone(t *testing.T, pid int) {
	t.Helper()
	for range 50 {
		// One that is dead may wait for its new parent, which collects it in its own time.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("what the helper has started is still there: %d", pid)
}

// An identity token is exchanged for one that the registry takes.
func TestDockerKeychainIdentityToken(t *testing.T) {
	h := newTLSHost(t)
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	h.identityToken = "identity"
	for name, config := range map[string]string{
		"in the file":   `{"auths":{"HOST":{"identitytoken":"identity"}}}`,
		"by the helper": `{"credHelpers":{"HOST":"test"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			file, programs := dockerConfig(t, strings.Replace(config, "HOST", h.address(), 1))
			helper(t, programs, "test", `echo '{"Username":"<token>","Secret":"identity"}'`)
			keychainClient(t, h, nil, file).wantModule(h.url("v1"), "", module("one"))
		})
	}
	file, _ := dockerConfig(t, strings.Replace(`{"auths":{"HOST":{"identitytoken":"wrong"}}}`, "HOST", h.address(), 1))
	keychainClient(t, h, nil, file).wantError(h.url("v1"), contract.ReasonModuleForbidden, "")
}

// withToken answers for a registry that wants a token for an identity token; it says whether
// that was all there is to do.
func (h *host) withToken(writer http.ResponseWriter, request *http.Request) bool {
	switch {
	case request.URL.Path == "/token":
		if request.PostFormValue("refresh_token") != h.identityToken {
			writer.WriteHeader(http.StatusUnauthorized)
			return true
		}
		_ = json.NewEncoder(writer).Encode(map[string]string{"access_token": "access"})
		return true
	case request.Header.Get("Authorization") != "Bearer access":
		writer.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="test"`, request.Host))
		writer.WriteHeader(http.StatusUnauthorized)
		return true
	default:
		return false
	}
}

func TestDockerKeychainTakesTheFirstFile(t *testing.T) {
	h := newTLSHost(t)
	h.password = "s3cret"
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	absent, _ := dockerConfig(t, "")
	first, _ := dockerConfig(t, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, h.address(), base64.StdEncoding.EncodeToString([]byte("user:s3cret"))))
	second, _ := dockerConfig(t, "{")
	keychainClient(t, h, nil, absent, first, second).wantModule(h.url("v1"), "", module("one"))
}
