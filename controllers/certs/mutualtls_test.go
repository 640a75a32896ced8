package certs_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestMutualTLSCondition(t *testing.T) {
	clients, other := newAuthority(t, "clients", noon.Add(year)), newAuthority(t, "other", noon.Add(year))
	asking := func(by authority, told contract.Clients) replicas.Replica {
		return replicas.Replica{Name: "a", Report: &contract.Report{ClientCA: contract.AuthoritiesFingerprint(by.pem()), Clients: &told}}
	}
	observes := contract.Clients{Mode: contract.ClientsObserved}
	seen := contract.Clients{Mode: contract.ClientsObserved, Proven: true}
	both := contract.Clients{Mode: contract.ClientsObserved, Proven: true, Unproven: true}
	requires := contract.Clients{Mode: contract.ClientsRequired}
	refuses := contract.Clients{Mode: contract.ClientsRequired, Unproven: true}
	starting := replicas.Replica{Name: "b"}
	plain := replicas.Replica{Name: "c", Report: &contract.Report{}}
	const observe, require = operatorv1alpha1.MutualTLSObserve, operatorv1alpha1.MutualTLSRequire
	tests := map[string]struct {
		mode        operatorv1alpha1.MutualTLSMode
		authorities []byte
		replicas    replicas.Set
		want        metav1.ConditionStatus
		wantReason  string
		wantMessage string
	}{
		"no ConfigMap":                  {observe, nil, nil, "False", "ClientAuthoritiesMissing", "it is not there"},
		"no certificate in it":          {require, []byte("text"), nil, "False", "ClientAuthoritiesMissing", "it is not there"},
		"a replica is starting":         {observe, clients.pem(), replicas.Set{asking(clients, seen), starting}, "False", "ReplicasBehind", "Pod b"},
		"a replica asks nobody":         {observe, clients.pem(), replicas.Set{plain}, "False", "ReplicasBehind", "Pod c"},
		"a replica has others":          {observe, clients.pem(), replicas.Set{asking(other, seen)}, "False", "ReplicasBehind", "Pod a"},
		"a replica observes still":      {require, clients.pem(), replicas.Set{asking(clients, seen)}, "False", "ReplicasBehind", "Pod a"},
		"a replica demands still":       {observe, clients.pem(), replicas.Set{asking(clients, requires)}, "False", "ReplicasBehind", "Pod a"},
		"nobody has called":             {observe, clients.pem(), replicas.Set{asking(clients, observes)}, "False", "NobodyProven", "may refuse all"},
		"no replica at all":             {observe, clients.pem(), nil, "False", "NobodyProven", "may refuse all"},
		"somebody without one":          {observe, clients.pem(), replicas.Set{asking(clients, both)}, "False", "CallersUnproven", "Pod a"},
		"everybody with one":            {observe, clients.pem(), replicas.Set{asking(clients, seen), asking(clients, observes)}, "False", "NobodyUnproven", "refuse nobody"},
		"all demand":                    {require, clients.pem(), replicas.Set{asking(clients, requires)}, "True", "CertificatesRequired", "every replica refuses"},
		"all demand, one refused some":  {require, clients.pem(), replicas.Set{asking(clients, refuses)}, "True", "CertificatesRequired", "Pod a did so"},
		"one leaves, another is silent": {require, clients.pem(), replicas.Set{{Name: "d", Terminating: true}, {Name: "e", Silent: true}}, "True", "CertificatesRequired", "every"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := certs.MutualTLSCondition(certs.MutualTLSState{
				Wanted:      operatorv1alpha1.MutualTLS{Mode: tc.mode, ClientCAConfigMap: "api-server-ca"},
				Authorities: tc.authorities, Missing: "it is not there", Replicas: tc.replicas,
			})
			if got.Type != "MutualTLSReady" || got.Status != tc.want || got.Reason != tc.wantReason || !strings.Contains(got.Message, tc.wantMessage) {
				t.Errorf("got %+v, want %s %s with %q", got, tc.want, tc.wantReason, tc.wantMessage)
			}
		})
	}
}
