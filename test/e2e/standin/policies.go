package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// policy is an entry of policies.yml. Keys that it does not know are passed over, except in
// members of groups, as upstream does.
type policy struct {
	Module           string            `json:"module"`
	PolicyMode       string            `json:"policyMode"`
	Settings         settings          `json:"settings"`
	HostCapabilities *[]string         `json:"hostCapabilities"`
	Policies         map[string]member `json:"policies"`
	Expression       string            `json:"expression"`
	Message          string            `json:"message"`
}

// member is a policy in a group.
type member struct {
	Module                string            `json:"module"`
	Settings              settings          `json:"settings"`
	ContextAwareResources []json.RawMessage `json:"contextAwareResources"`
	TimeoutEvalSeconds    uint              `json:"timeoutEvalSeconds"`
	HostCapabilities      *[]string         `json:"hostCapabilities"`
}

func (m *member) UnmarshalJSON(data []byte) error {
	type plain member // without this method
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode((*plain)(m))
}

// settings are those of the one policy that this server has in the place of every module: an
// object must have a label.
type settings struct {
	RequiredLabel string `json:"required_label"`
}

// readPolicies reads policies.yml, of which it understands as much as is JSON. The first
// policy that cannot be served is an error.
func readPolicies(file string) (map[string]policy, error) {
	content, err := os.ReadFile(file) //nolint:gosec // whoever starts it says which file
	if err != nil {
		return nil, err
	}
	policies := map[string]policy{}
	if err := json.Unmarshal(content, &policies); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for id, policy := range policies {
		if err := policy.check(); err != nil {
			return nil, fmt.Errorf("policy %s: %w", id, err)
		}
	}
	return policies, nil
}

func (p policy) check() error {
	switch {
	case p.PolicyMode != "" && !slices.Contains([]string{"protect", "monitor"}, p.PolicyMode):
		return fmt.Errorf("policyMode is %q", p.PolicyMode)
	case p.Module == "" && (len(p.Policies) == 0 || p.Expression == "" || p.Message == ""):
		return errors.New("it is neither a policy nor a group")
	case p.Module != "" && p.Settings.RequiredLabel == "":
		return errors.New("settings are not valid: required_label is missing")
	}
	return nil
}

// verdict judges an object; the message is empty where the policy has no objection. A group
// has one when a member has.
func (p policy) verdict(labels map[string]string) (allowed bool, message string) {
	var missing []string
	required := append(make([]string, 0, 1+len(p.Policies)), p.Settings.RequiredLabel)
	for _, member := range p.Policies {
		required = append(required, member.Settings.RequiredLabel)
	}
	for _, label := range required {
		if _, ok := labels[label]; label != "" && !ok {
			missing = append(missing, label)
		}
	}
	if len(missing) == 0 {
		return true, ""
	}
	slices.Sort(missing)
	return false, "label is missing: " + strings.Join(missing, ", ")
}
