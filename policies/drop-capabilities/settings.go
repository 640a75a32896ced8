package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// settings have the names that users know from upstream's policy on capabilities.
type settings struct {
	// Allowed capabilities may be added by containers; "*" allows any.
	Allowed []string
	// RequiredDrop capabilities are dropped from every container and must not be added.
	RequiredDrop []string
	// DefaultAdd capabilities are added to every container that does not drop them.
	DefaultAdd []string
}

// anyCapability allows every capability.
const anyCapability = "*"

func decodeSettings(raw document.Value) (settings, error) {
	var decoded settings
	names := []string{"allowed_capabilities", "required_drop_capabilities", "default_add_capabilities"}
	lists := []*[]string{&decoded.Allowed, &decoded.RequiredDrop, &decoded.DefaultAdd}
	known := make([]guest.Setting, len(names))
	for i := range names {
		known[i] = guest.Setting{Name: names[i], Into: lists[i]}
	}
	if err := guest.DecodeSettings(raw, known...); err != nil {
		return settings{}, err
	}
	for i, list := range lists {
		if err := normalize(names[i], *list); err != nil {
			return settings{}, err
		}
	}
	for _, capability := range decoded.RequiredDrop {
		for name, others := range map[string][]string{names[0]: decoded.Allowed, names[2]: decoded.DefaultAdd} {
			if slices.Contains(others, capability) {
				return settings{}, fmt.Errorf("capability %q is in required_drop_capabilities and in %s", capability, name)
			}
		}
	}
	return decoded, nil
}

// normalize writes capabilities as Kubernetes does and refuses what is none.
func normalize(field string, capabilities []string) error {
	for i, capability := range capabilities {
		capability = strings.ToUpper(capability)
		wildcard := capability == anyCapability && field == "allowed_capabilities"
		if !wildcard && strings.Trim(capability, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || capability == "" {
			return fmt.Errorf("%s[%d]: %q is not a capability, want a name such as NET_ADMIN", field, i, capabilities[i])
		}
		if strings.HasPrefix(capability, "CAP_") {
			return fmt.Errorf("%s[%d]: %q begins with CAP_, which Kubernetes leaves out", field, i, capabilities[i])
		}
		capabilities[i] = capability
	}
	return nil
}

func validateSettings(raw document.Value) error {
	_, err := decodeSettings(raw)
	return err
}
