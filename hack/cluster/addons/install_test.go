package addons

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var config = Config{
	ImageCoreDNS:     "localhost/test/coredns:1",
	ImageCertManager: "localhost/test/cert-manager:2",
	ClusterDomain:    "cluster.test",
	DNSServiceIP:     "198.18.64.10",
	RegistryIP:       "192.0.2.7",
	RegistryPort:     "5443",
}

func TestManifests(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values any
		wants  []string
	}{
		{"coredns.yaml", config, []string{"image: localhost/test/coredns:1\n", "clusterIP: 198.18.64.10\n", "kubernetes cluster.test in-addr.arpa"}},
		{"registry.yaml", config, []string{"addresses: [192.0.2.7]\n", "port: 5443}"}},
		{"cert-manager.yaml", config, []string{"image: localhost/test/cert-manager:2\n"}},
		{"olm.yaml", OLM{ImageOLM: "localhost/test/olm:3", ImageCatalog: "localhost/test/catalog:4"}, []string{"image: localhost/test/olm:3\n", "image: localhost/test/catalog:4\n"}},
		{"catalog.yaml", Catalog{Image: "localhost/test/opm:5", Dir: "/configs"}, []string{"image: localhost/test/opm:5\n", "args: [serve, /configs, "}},
	} {
		manifest, err := render(tc.name, tc.values)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tc.wants {
			if !strings.Contains(manifest, want) {
				t.Errorf("%s lacks %q:\n%s", tc.name, want, manifest)
			}
		}
		for _, object := range objects(t, manifest) {
			checkObject(t, tc.name, object)
		}
	}
}

// checkObject fails on an object that the cluster could not make or run.
func checkObject(t *testing.T, manifest string, object object) {
	t.Helper()
	if object.Kind == "" || object.Metadata.Name == "" {
		t.Errorf("%s has an object without kind or name: %+v", manifest, object)
	}
	for _, container := range object.Spec.Template.Spec.Containers {
		if container.ImagePullPolicy != "Never" {
			t.Errorf("%s: an image that was loaded by hand would be pulled: %+v", manifest, container)
		}
	}
}

type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Image           string
					ImagePullPolicy string `yaml:"imagePullPolicy"`
				}
			}
		}
	}
}

func objects(t *testing.T, manifest string) []object {
	t.Helper()
	var found []object
	decoder := yaml.NewDecoder(bytes.NewBufferString(manifest))
	for {
		var one object
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, one)
	}
}

func TestRunShowsWhatKubectlSays(t *testing.T) {
	_, err := Kubectl{Path: "false"}.Run(t.Context(), "", "get", "nodes")
	if err == nil || !strings.HasPrefix(err.Error(), "kubectl get nodes: ") {
		t.Errorf("Run = %v, want an error that names the command", err)
	}
}
