package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/image"
)

// question is the payload of oci/v2/verify.
type question struct {
	Type          string            `json:"type"`
	Image         string            `json:"image"`
	Annotations   map[string]string `json:"annotations"`
	PublicKeys    []string          `json:"pub_keys,omitempty"`
	Keyless       []identity        `json:"keyless,omitempty"`
	KeylessPrefix []askedIdentities `json:"keyless_prefix,omitempty"`
}

type askedIdentities struct {
	Issuer    string `json:"issuer"`
	URLPrefix string `json:"url_prefix"`
}

// questions are what has to be asked about an image, one for each kind of signer.
func (d demand) questions() []question {
	var all []question
	if len(d.PublicKeys) > 0 {
		all = append(all, question{Type: "SigstorePubKeyVerify", PublicKeys: d.PublicKeys, Annotations: d.Annotations})
	}
	if len(d.Keyless) > 0 {
		all = append(all, question{Type: "SigstoreKeylessVerify", Keyless: d.Keyless, Annotations: d.Annotations})
	}
	if len(d.KeylessPrefix) > 0 {
		asked := make([]askedIdentities, len(d.KeylessPrefix))
		for i, one := range d.KeylessPrefix {
			asked[i] = askedIdentities(one)
		}
		all = append(all, question{Type: "SigstoreKeylessPrefixVerify", KeylessPrefix: asked, Annotations: d.Annotations})
	}
	return all
}

// verifier verifies each image of a request once.
type verifier struct {
	config  settings
	request guest.Request
	known   map[string]verdict
}

// verdict is the digest that was verified, "" for an image that no demand is about and that is
// accepted; or why an image is not admitted.
type verdict struct {
	digest string
	err    error
}

func (v *verifier) verify(name string) verdict {
	if known, asked := v.known[name]; asked {
		return known
	}
	digest, err := v.ask(name)
	v.known[name] = verdict{digest, err}
	return v.known[name]
}

// ask resolves a tag with the first question: the others are about the digest that was verified
// then, whatever the tag stands for by now.
func (v *verifier) ask(name string) (digest string, err error) {
	expanded := image.Expand(name)
	reference, digest := expanded, ""
	matched := false
	for _, demand := range v.config.Signatures {
		if !demand.isAbout(expanded) {
			continue
		}
		matched = true
		for _, asked := range demand.questions() {
			asked.Image = reference
			if digest, err = v.question(asked); err != nil {
				return "", err
			}
			reference = image.Repository(expanded) + "@" + digest
		}
	}
	if !matched && v.config.Unmatched == denyUnmatched {
		return "", errors.New("no demand of signatures is about it")
	}
	return digest, nil
}

func (v *verifier) question(asked question) (digest string, err error) {
	payload, err := json.Marshal(asked)
	if err != nil {
		return "", err
	}
	answer, err := v.request.Ask("oci", "v2/verify", payload)
	if err != nil {
		return "", err
	}
	isTrusted, err := answer.Bool("is_trusted")
	if err != nil {
		return "", err
	}
	if digest, err = answer.Text("digest"); err != nil {
		return "", err
	}
	if !isTrusted || digest == "" {
		return "", fmt.Errorf("is_trusted is %v and digest %q", isTrusted, digest)
	}
	if _, wanted := image.WithoutDigest(asked.Image); wanted != "" && wanted != digest {
		return "", fmt.Errorf("%s was verified in place of %s", digest, wanted)
	}
	return digest, nil
}
