package main

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// proxies reads the proxies of the environment. A variable in upper case has precedence
// over the same in lower case, as upstream has it.
func proxies(getenv func(string) string) (contract.Proxies, error) {
	var read contract.Proxies
	for _, variable := range []struct {
		upper, lower string
		place        *string
	}{
		{"HTTP_PROXY", "http_proxy", &read.HTTP},
		{"HTTPS_PROXY", "https_proxy", &read.HTTPS},
	} {
		*variable.place = cmp.Or(getenv(variable.upper), getenv(variable.lower))
		if _, err := contract.ParseProxy(*variable.place); err != nil {
			return contract.Proxies{}, fmt.Errorf("read variable %s or %s: %w", variable.upper, variable.lower, err)
		}
	}
	read.No = cmp.Or(getenv("NO_PROXY"), getenv("no_proxy"))
	return read, nil
}

// credentialFiles are where credentials of registries may be, best first: in Docker's
// folder, of which dockerConfigDir is the one that a flag names, and where Podman has them.
func credentialFiles(getenv func(string) string, dockerConfigDir string) []string {
	home := getenv("HOME")
	var files []string
	for _, candidate := range []string{
		under(cmp.Or(dockerConfigDir, getenv("DOCKER_CONFIG"), under(home, ".docker")), "config.json"),
		getenv("REGISTRY_AUTH_FILE"),
		under(getenv("XDG_RUNTIME_DIR"), "containers/auth.json"),
		under(cmp.Or(getenv("XDG_CONFIG_HOME"), under(home, ".config")), "containers/auth.json"),
	} {
		if candidate != "" {
			files = append(files, candidate)
		}
	}
	return files
}

// under is a path in a folder; "" where the folder is not known.
func under(folder, path string) string {
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, path)
}
