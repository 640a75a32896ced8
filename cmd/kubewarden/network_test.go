package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestProxies(t *testing.T) {
	for name, tc := range map[string]struct {
		variables map[string]string
		want      contract.Proxies
	}{
		"none":  {},
		"upper": {map[string]string{"HTTP_PROXY": "a:1", "HTTPS_PROXY": "http://b", "NO_PROXY": "c"}, contract.Proxies{HTTP: "a:1", HTTPS: "http://b", No: "c"}},
		"lower": {map[string]string{"http_proxy": "a:1", "https_proxy": "http://b", "no_proxy": "c"}, contract.Proxies{HTTP: "a:1", HTTPS: "http://b", No: "c"}},
		"both":  {map[string]string{"HTTPS_PROXY": "a", "https_proxy": "b", "NO_PROXY": "c", "no_proxy": "d"}, contract.Proxies{HTTPS: "a", No: "c"}},
	} {
		got, err := proxies(environment(tc.variables))
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s: error %v, -want +got:\n%s", name, err, diff)
		}
	}
	_, err := proxies(environment(map[string]string{"https_proxy": "ftp://user:secret@proxy.test"}))
	if err == nil || !strings.Contains(err.Error(), `HTTPS_PROXY or https_proxy: got "ftp://proxy.test", want`) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error that names the variable, and not the password", err)
	}
}

func TestCredentialFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		flag      string
		variables map[string]string
		want      []string
	}{
		"nothing known": {},
		"home":          {"", map[string]string{"HOME": "/h"}, []string{"/h/.docker/config.json", "/h/.config/containers/auth.json"}},
		"variable":      {"", map[string]string{"DOCKER_CONFIG": "/d", "HOME": "/h"}, []string{"/d/config.json", "/h/.config/containers/auth.json"}},
		"flag":          {"/f", map[string]string{"DOCKER_CONFIG": "/d"}, []string{"/f/config.json"}},
		"Podman's": {
			"",
			map[string]string{"REGISTRY_AUTH_FILE": "/r.json", "XDG_RUNTIME_DIR": "/run", "XDG_CONFIG_HOME": "/x"},
			[]string{"/r.json", "/run/containers/auth.json", "/x/containers/auth.json"},
		},
	} {
		if diff := cmp.Diff(tc.want, credentialFiles(environment(tc.variables), tc.flag)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
