package certs_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// backdated is by how much certificates begin before they are made.
const backdated = 5 * time.Minute

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func keyed(algorithm operatorv1alpha1.KeyAlgorithm, size int32) *operatorv1alpha1.CertificateKey {
	return &operatorv1alpha1.CertificateKey{Algorithm: algorithm, Size: &size}
}

func TestAuthorityIsDueWhenTheSpecChanges(t *testing.T) {
	authority := newBuiltIn(t, noon)
	tests := map[string]struct {
		spec    operatorv1alpha1.Certificates
		because string
	}{
		"nothing said":           {},
		"the same, in words":     {spec: operatorv1alpha1.Certificates{CADuration: duration(10 * year), CAPrivateKey: keyed("ECDSA", 256)}},
		"what is for pairs only": {spec: operatorv1alpha1.Certificates{Duration: duration(time.Hour), PrivateKey: keyed("RSA", 4096)}},
		"another duration": {
			spec:    operatorv1alpha1.Certificates{CADuration: duration(5 * year)},
			because: "spec.certificates.caDuration asks for 43800h0m0s, and the one before is valid for 87600h5m0s",
		},
		"another algorithm": {
			spec:    operatorv1alpha1.Certificates{CAPrivateKey: &operatorv1alpha1.CertificateKey{Algorithm: "RSA"}},
			because: "spec.certificates.caPrivateKey asks for RSA 2048, and the one before has ECDSA 256",
		},
		"another size": {
			spec:    operatorv1alpha1.Certificates{CAPrivateKey: keyed("ECDSA", 521)},
			because: "spec.certificates.caPrivateKey asks for ECDSA 521, and the one before has ECDSA 256",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			terms := render.NewTerms(tc.spec).Authority
			because, _, err := certs.Due(certs.DueState{Now: noon, Authority: authority, Terms: terms})
			if err != nil || because != tc.because {
				t.Errorf("it is due because %q (%v), want %q", because, err, tc.because)
			}
			made, err := certs.NewAuthorityOn(terms, "test", noon)
			if err != nil {
				t.Fatal(err)
			}
			if because, _, err := certs.Due(certs.DueState{Now: noon.Add(time.Minute), Authority: made, Terms: terms}); err != nil || because != "" {
				t.Errorf("the one that was made on these terms is due because %q (%v)", because, err)
			}
		})
	}
}

func TestPairsAreIssuedOnTheTermsOfTheSpec(t *testing.T) {
	authority := newBuiltIn(t, noon)
	first := issue(t, authority, dnsName, noon)
	tests := map[string]struct {
		spec    operatorv1alpha1.Certificates
		because string
		renewed time.Duration // after it was issued
	}{
		"nothing said":            {renewed: (year+backdated)*2/3 - backdated},
		"renewed early":           {spec: operatorv1alpha1.Certificates{RenewBefore: duration(300 * 24 * time.Hour)}, renewed: 65 * 24 * time.Hour},
		"what is for authorities": {spec: operatorv1alpha1.Certificates{CADuration: duration(2 * year)}, renewed: (year+backdated)*2/3 - backdated},
		"shorter": {
			spec:    operatorv1alpha1.Certificates{Duration: duration(24 * time.Hour), RenewBefore: duration(time.Hour)},
			because: "it is valid for 8760h5m0s, and 24h0m0s is asked for", renewed: 23 * time.Hour,
		},
		"longer": {
			spec:    operatorv1alpha1.Certificates{Duration: duration(3 * year)},
			because: "it is valid for 8760h5m0s, and 26280h0m0s is asked for", renewed: (3*year+backdated)*2/3 - backdated,
		},
		"another algorithm": {
			spec:    operatorv1alpha1.Certificates{PrivateKey: keyed("RSA", 2048)},
			because: "its key is ECDSA 256, and RSA 2048 is asked for", renewed: (year+backdated)*2/3 - backdated,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			terms := render.NewTerms(tc.spec).Leaf
			state := certs.LeafState{Now: noon, Claim: certs.Claim{DNSName: dnsName}, Authority: authority.Certificate, Issued: first, Terms: terms}
			if plan := certs.PlanLeaf(state); plan.Because != tc.because {
				t.Errorf("it is issued again because %q, want %q", plan.Because, tc.because)
			}
			var err error
			if state.Issued, err = certs.IssueOn(terms, authority, state.Claim, noon); err != nil {
				t.Fatal(err)
			}
			plan := certs.PlanLeaf(state)
			if plan.Step != certs.StepNone || (plan.After-tc.renewed).Abs() > time.Second {
				t.Errorf("of what was issued on these terms the plan is %+v, want it left alone for %s", plan, tc.renewed)
			}
		})
	}
}

// A pair that ends with its authority is not issued again and again, though it is shorter than
// the terms say, and shorter than it is to be renewed before its end.
func TestPairThatEndsWithItsAuthorityIsLeftAlone(t *testing.T) {
	authority := newBuiltIn(t, noon)
	late := noon.Add(10*year - 30*24*time.Hour)
	state := certs.LeafState{
		Now: late, Claim: certs.Claim{DNSName: dnsName}, Authority: authority.Certificate,
		Terms: render.NewTerms(operatorv1alpha1.Certificates{RenewBefore: duration(90 * 24 * time.Hour)}).Leaf,
	}
	var err error
	if state.Issued, err = certs.IssueOn(state.Terms, authority, state.Claim, late); err != nil {
		t.Fatal(err)
	}
	plan := certs.PlanLeaf(state)
	if want := 22 * 24 * time.Hour; plan.Step != certs.StepNone || plan.After < want || plan.After > want+24*time.Hour {
		t.Errorf("the plan is %+v, want it left alone for three quarters of its life, some %s", plan, want)
	}
	state.Terms.Duration = 24 * time.Hour
	if plan := certs.PlanLeaf(state); plan.Step != certs.StepIssue || !strings.Contains(plan.Because, "24h0m0s is asked for") {
		t.Errorf("the plan is %+v, want another one that lasts as long as the terms say now", plan)
	}
}
