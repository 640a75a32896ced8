package policyserver

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// What the operator renders is read here by what will read it in a cluster: the golden
// files of controllers/render are proven by their consumer.
func TestDecodeReadsWhatTheOperatorRenders(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "controllers", "render", "testdata", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			var object corev1.ConfigMap
			if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				continue // another kind
			}
			policies, found := object.Data[contract.KeyPolicies]
			if object.Kind != "ConfigMap" || !found {
				continue
			}
			wanted, err := decode([]byte(policies), []byte(object.Data[contract.KeySources]))
			if err != nil || len(wanted.Refused) > 0 {
				t.Errorf("%s: got error %v, refused %v; want none", file, err, wanted.Refused)
			}
			read++
		}
	}
	if read == 0 {
		t.Error("no rendered configuration was found")
	}
}
