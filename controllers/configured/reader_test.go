package configured

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func configMap(version, policies string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "policy-server-default", UID: "u", ResourceVersion: version},
		Data:       map[string]string{contract.KeyPolicies: policies},
	}
}

func TestReader(t *testing.T) {
	var reader Reader
	got, err := reader.Decode(configMap("1", `{"kw.cap.a":{"module":"m"},"kw.cap.broken":{"module":7}}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kw.cap.a"}, keys(got.Policies)); diff != "" {
		t.Errorf("one broken entry does no harm to the others (-want +got):\n%s", diff)
	}
	// The same version is the same content, whatever it is said to be.
	again, _ := reader.Decode(configMap("1", `{}`))
	if len(again.Policies) != 1 {
		t.Error("the same version was decoded again")
	}
	if _, err := reader.Decode(configMap("2", `]`)); err == nil {
		t.Error("got no error for a file that cannot be read")
	}
	if got, err := reader.Decode(&corev1.ConfigMap{}); err != nil || len(got.Policies) != 0 {
		t.Errorf("got %v and error %v for a ConfigMap without the file, want nothing", got, err)
	}
}

func keys(policies contract.Policies) []string {
	ids := make([]string, 0, len(policies))
	for id := range policies {
		ids = append(ids, id)
	}
	return ids
}
