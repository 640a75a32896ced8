package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
	"github.com/kubewarden/kubewarden-operator/policies/guest/image"
)

// settings have the names that users know from upstream's policy about signatures.
type settings struct {
	Signatures []demand
	// Unmatched says what becomes of images that no demand is about.
	Unmatched string
	// Pin has images pinned to the digest that was verified.
	Pin bool
}

// Values of unmatchedImages.
const (
	denyUnmatched   = "deny"
	acceptUnmatched = "accept"
)

// demand says who must have signed some images.
type demand struct {
	// Image is a name without tag, or a pattern in which * stands for any text.
	Image         string
	PublicKeys    []string
	Keyless       []identity
	KeylessPrefix []identities
	Annotations   map[string]string
}

// identity is somebody whom an issuer vouched for.
type identity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// identities are those whose URL begins with something.
type identities struct{ Issuer, URLPrefix string }

func decodeSettings(raw document.Value) (settings, error) {
	decoded := settings{Unmatched: denyUnmatched, Pin: true}
	err := guest.DecodeSettings(raw,
		guest.Setting{Name: "signatures", Into: each(&decoded.Signatures, decodeDemand)},
		guest.Setting{Name: "unmatchedImages", Into: &decoded.Unmatched},
		guest.Setting{Name: "modifyImagesWithDigest", Into: &decoded.Pin})
	if err != nil {
		return settings{}, err
	}
	if decoded.Unmatched != denyUnmatched && decoded.Unmatched != acceptUnmatched {
		return settings{}, fmt.Errorf(`setting "unmatchedImages": got %q, want %s or %s`, decoded.Unmatched, denyUnmatched, acceptUnmatched)
	}
	if len(decoded.Signatures) == 0 {
		return settings{}, errors.New(`setting "signatures": got nothing, want at least one demand`)
	}
	for i, one := range decoded.Signatures {
		if err := one.check(); err != nil {
			return settings{}, fmt.Errorf("signatures[%d]: %w", i, err)
		}
	}
	return decoded, nil
}

// each decodes a list by what decodes an element of it.
func each[T any](into *[]T, decode func(document.Value) (T, error)) func(document.Value) error {
	return func(value document.Value) error {
		elements, err := value.List()
		if err != nil {
			return err
		}
		for i, element := range elements {
			one, err := decode(element)
			if err != nil {
				return document.At(err, i)
			}
			*into = append(*into, one)
		}
		return nil
	}
}

// decodeDemand refuses what a demand does not have: a misspelt name would demand less.
func decodeDemand(value document.Value) (demand, error) {
	var decoded demand
	err := guest.DecodeSettings(value,
		guest.Setting{Name: "image", Into: &decoded.Image},
		guest.Setting{Name: "pubKeys", Into: &decoded.PublicKeys},
		guest.Setting{Name: "keyless", Into: each(&decoded.Keyless, decodeIdentity)},
		guest.Setting{Name: "keylessPrefix", Into: each(&decoded.KeylessPrefix, decodeIdentities)},
		guest.Setting{Name: "annotations", Into: &decoded.Annotations})
	return decoded, err
}

func decodeIdentity(value document.Value) (identity, error) {
	texts, err := value.TextsOf("issuer", "subject")
	if err != nil {
		return identity{}, err
	}
	return identity{Issuer: texts[0], Subject: texts[1]}, nil
}

func decodeIdentities(value document.Value) (identities, error) {
	texts, err := value.TextsOf("issuer", "urlPrefix")
	if err != nil {
		return identities{}, err
	}
	return identities{Issuer: texts[0], URLPrefix: texts[1]}, nil
}

func (d demand) check() error {
	host, _, _ := strings.Cut(d.Image, "/")
	if !strings.Contains(host, "*") && (host == d.Image || !image.IsHost(host)) || strings.HasSuffix(d.Image, "/") || strings.Contains(d.Image, "@") {
		return fmt.Errorf("image: got %q, want a name with its registry such as ghcr.io/team/app, or a pattern such as ghcr.io/team/*", d.Image)
	}
	if len(d.PublicKeys)+len(d.Keyless)+len(d.KeylessPrefix) == 0 {
		return errors.New("got no signer, want pubKeys, keyless or keylessPrefix")
	}
	for i, key := range d.PublicKeys {
		if block, _ := pem.Decode([]byte(key)); block == nil || !strings.HasSuffix(block.Type, "PUBLIC KEY") {
			return fmt.Errorf("pubKeys[%d]: want a public key in PEM", i)
		}
	}
	for i, one := range d.Keyless {
		if one.Issuer == "" || one.Subject == "" {
			return fmt.Errorf("keyless[%d]: got issuer %q and subject %q, want both", i, one.Issuer, one.Subject)
		}
	}
	for i, one := range d.KeylessPrefix {
		if one.Issuer == "" || !strings.HasPrefix(one.URLPrefix, "https://") && !strings.HasPrefix(one.URLPrefix, "http://") {
			return fmt.Errorf("keylessPrefix[%d]: got issuer %q and urlPrefix %q, want an issuer and the beginning of a URL", i, one.Issuer, one.URLPrefix)
		}
	}
	return nil
}

// isAbout says whether a demand is about an image, whose name has its registry: with its tag and
// digest or without.
func (d demand) isAbout(name string) bool {
	return matches(d.Image, name) || matches(d.Image, image.Repository(name))
}

// matches says whether a text is as a pattern says, in which * stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, begins := strings.CutPrefix(text, parts[0])
	if !begins {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, last)
}
