package metadata_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
)

func TestDecode(t *testing.T) {
	tests := map[string]struct {
		payload string
		want    metadata.Metadata
		wantErr string
	}{
		"defaults": {
			payload: `{"rules":[],"mutating":false,"contextAware":true}`,
			want: metadata.Metadata{
				Rules: []metadata.Rule{}, BackgroundAudit: true,
				ExecutionMode: metadata.ModeWaPC, PolicyType: metadata.TypeKubernetes,
			},
		},
		"everything": {
			payload: `{"protocolVersion":"v1","rules":[{"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"],"operations":["CREATE"]}],
				"annotations":{"io.kubewarden.policy.title":"mine"},"mutating":true,"backgroundAudit":false,"executionMode":"opa",
				"policyType":"raw","contextAwareResources":[{"apiVersion":"v1","kind":"Pod"}],"hostCapabilities":["oci/*"],
				"minimumKubewardenVersion":"1.25.0-rc1"}`,
			want: metadata.Metadata{
				ProtocolVersion: "v1",
				Rules: []metadata.Rule{{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Operations: []string{"CREATE"},
				}},
				Annotations:              map[string]string{"io.kubewarden.policy.title": "mine"},
				Mutating:                 true,
				ExecutionMode:            metadata.ModeOPA,
				PolicyType:               metadata.TypeRaw,
				ContextAwareResources:    []metadata.Resource{{APIVersion: "v1", Kind: "Pod"}},
				HostCapabilities:         []string{"oci/*"},
				MinimumKubewardenVersion: "1.25.0-rc1",
			},
		},
		"null is absence":      {payload: `{"protocolVersion":null,"rules":[],"mutating":false,"executionMode":null}`, want: func() metadata.Metadata { m := metadata.Default(); m.Rules = []metadata.Rule{}; return m }()},
		"no rules":             {payload: `{"mutating":false}`, wantErr: "rules: missing"},
		"no word on mutation":  {payload: `{"rules":[]}`, wantErr: "mutating: missing"},
		"another mode":         {payload: `{"rules":[],"mutating":false,"executionMode":"jvm"}`, wantErr: `executionMode: got "jvm", allowed are kubewarden-wapc, opa, gatekeeper, wasi`},
		"another protocol":     {payload: `{"rules":[],"mutating":false,"protocolVersion":"v2"}`, wantErr: `protocolVersion: got "v2", allowed are v1, Unknown`},
		"another type":         {payload: `{"rules":[],"mutating":false,"policyType":"cooked"}`, wantErr: `policyType: got "cooked", allowed are kubernetes, raw`},
		"another operation":    {payload: `{"rules":[{"operations":["PATCH"]}],"mutating":false}`, wantErr: `rules[0].operations[0]: got "PATCH", allowed are CREATE, UPDATE, DELETE, CONNECT, *`},
		"a version cut short":  {payload: `{"rules":[],"mutating":false,"minimumKubewardenVersion":"1.25"}`, wantErr: `minimumKubewardenVersion: got "1.25", want a version such as 1.37.2`},
		"a value of that type": {payload: `{"rules":[],"mutating":"no"}`, wantErr: "json: cannot unmarshal string into Go struct field Metadata.mutating of type bool"},
		"YAML":                 {payload: "rules: []", wantErr: "invalid character 'r' looking for beginning of value"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := metadata.Decode([]byte(tc.payload))
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("got error %v\nwant      %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestCheckRunnable(t *testing.T) {
	tests := map[string]struct {
		metadata metadata.Metadata
		want     string
	}{
		"waPC with its protocol": {metadata.Metadata{ExecutionMode: metadata.ModeWaPC, ProtocolVersion: "v1"}, ""},
		"nothing said":           {metadata.Default(), "Policy is missing protocol version, which is required for KubewardenWapc execution mode"},
		"waPC without its protocol": {
			metadata.Metadata{ExecutionMode: metadata.ModeWaPC, ProtocolVersion: "Unknown"},
			"Policy uses protocol version Unknown but only V1 is supported",
		},
		"another mode needs none":  {metadata.Metadata{ExecutionMode: metadata.ModeOPA}, ""},
		"an older server wanted":   {metadata.Metadata{ExecutionMode: metadata.ModeOPA, MinimumKubewardenVersion: "1.9.0"}, ""},
		"a later patch wanted":     {metadata.Metadata{ExecutionMode: metadata.ModeOPA, MinimumKubewardenVersion: "1.37.9"}, ""},
		"a later minor wanted":     {metadata.Metadata{ExecutionMode: metadata.ModeOPA, MinimumKubewardenVersion: "1.38.0-rc1"}, "Policy required Kubewarden version 1.38.0-rc1 but is running on 1.37.2"},
		"a later major wanted":     {metadata.Metadata{ExecutionMode: metadata.ModeOPA, MinimumKubewardenVersion: "2.0.0"}, "Policy required Kubewarden version 2.0.0 but is running on 1.37.2"},
		"a version out of numbers": {metadata.Metadata{ExecutionMode: metadata.ModeOPA, MinimumKubewardenVersion: "99999999999999999999.0.0"}, `minimumKubewardenVersion: parse major version "99999999999999999999": strconv.ParseUint: parsing "99999999999999999999": value out of range`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := tc.metadata.CheckRunnable("1.37.2"); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
