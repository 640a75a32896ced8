package host_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// witness notes which capabilities were reached.
type witness struct {
	namespace string
	reached   *[]string
}

func (w witness) Call(_ context.Context, request host.Request) ([]byte, error) {
	*w.reached = append(*w.reached, w.namespace+"/"+request.Operation)
	if !json.Valid(request.Payload) {
		return nil, host.RefusalError("payload is no JSON")
	}
	return request.Payload, nil
}

// Whatever a guest calls, no capability is reached that a pattern does not grant, and only
// those that exist.
func FuzzSessionCall(f *testing.F) {
	for _, seed := range [][5]string{
		{"kubewarden", "oci", "v1/verify", `{"image":"a"}`, "oci/*"},
		{"kubewarden", "oci", "v1/verify", `{}`, "oci/v2/*"},
		{"kubewarden", "kubernetes", "can_i", `{`, "*"},
		{"kubewarden", "kubernetes/can_i", "", ``, "kubernetes/*"},
		{"kubewarden", "tracing", "log", `{"level":"info","message":"m","a":[1]}`, ""},
		{"kubewarden", "oci/v1", "verify", `{}`, "*"},
		{"kubewarden", "", "/", `{}`, "net/v1/dns_lookup_host"},
		{"other", "net", "v1/dns_lookup_host", `"example.org"`, " net/v1/* "},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]), seed[4])
	}
	every := []string{
		"crypto/v1/is_certificate_trusted", "kubernetes/can_i", "kubernetes/get_resource", "kubernetes/list_resources_all",
		"kubernetes/list_resources_by_namespace", "net/v1/dns_lookup_host", "oci/v1/manifest_digest", "oci/v1/oci_manifest",
		"oci/v1/oci_manifest_config", "oci/v1/verify", "oci/v2/verify",
	}
	f.Fuzz(func(t *testing.T, binding, namespace, operation string, payload []byte, pattern string) {
		granted, err := host.NewGrants([]string{pattern}, nil)
		if err != nil {
			granted, err = host.NewGrants(nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		var reached []string
		capabilities := map[string]host.Capability{}
		for _, name := range []string{"crypto", "kubernetes", "net", "oci", "", "tracing", namespace} {
			capabilities[name] = witness{name, &reached}
		}
		session := host.NewDispatcher(capabilities, slog.New(slog.DiscardHandler)).Session(host.Policy{ID: "kw.cap.mine", Grants: granted})
		_, err = session.Call(t.Context(), host.Call{Binding: binding, Namespace: namespace, Operation: operation, Payload: payload})
		for _, path := range reached {
			pattern := strings.TrimSpace(pattern)
			prefix, wild := strings.CutSuffix(pattern, "*")
			if binding != "kubewarden" || !slices.Contains(every, path) || path != pattern && (!wild || !strings.HasPrefix(path, prefix)) {
				t.Errorf("%q %q %q reached %s under %q", binding, namespace, operation, path, pattern)
			}
		}
		if len(reached) == 0 && err == nil && namespace != "tracing" {
			t.Errorf("%q %q %q reached nothing and got no error", binding, namespace, operation)
		}
	})
}
