package contract

import (
	"encoding/json"
	"fmt"
	"strings"
)

// PathValidateSettings is the path of the API port that checks settings, followed by the
// digest of a module: 64 hex digits, with or without "sha256:" before them.
const PathValidateSettings = "/validate-settings/"

// OperatorIdentity is the one URI (subject alternative name) of the operator's client
// certificate. Whoever presents it, from an authority of the installation, may have settings
// checked.
const OperatorIdentity = "urn:kubewarden:operator"

// SettingsQuestion is the body of a request to PathValidateSettings.
type SettingsQuestion struct {
	// PolicyID is for the log; it may be empty.
	PolicyID string `json:"policyID,omitempty"`
	// Settings is a JSON object; null and nothing mean an empty one.
	Settings json.RawMessage `json:"settings"`
	// ContextAwareResources and HostCapabilities are what the policy may ask of the host
	// while it checks, as in its entry.
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`
	HostCapabilities      []string               `json:"hostCapabilities,omitempty"`
}

// DecodeSettingsQuestion reads a question that is JSON. The settings are those that a policy
// would be loaded with. A field that is not known may change what is asked, so it is refused:
// an operator that is newer than its servers gets no answer rather than a wrong one.
func DecodeSettingsQuestion(body []byte) (SettingsQuestion, error) {
	var question SettingsQuestion
	fields, err := decodeObject(body)
	if err != nil {
		return question, err
	}
	return question, decodeFields(fields, map[string]fieldDecoder{
		"policyID":              optionalString(&question.PolicyID),
		"settings":              settingsObject(&question.Settings),
		"contextAwareResources": resources(&question.ContextAwareResources),
		"hostCapabilities":      stringList(&question.HostCapabilities),
	}, []string{"settings"})
}

// SettingsAnswer is the body of the answer.
type SettingsAnswer struct {
	Valid bool `json:"valid"`
	// Message is the guest's own; it may be empty.
	Message string `json:"message,omitempty"`
}

// MaxSettingsMessageBytes bounds the message of a SettingsAnswer: it ends up on somebody's
// terminal.
const MaxSettingsMessageBytes = 1024

// NewSettingsAnswer makes an answer whose message holds to MaxSettingsMessageBytes.
func NewSettingsAnswer(valid bool, message string) SettingsAnswer {
	return SettingsAnswer{Valid: valid, Message: shorten(message, MaxSettingsMessageBytes)}
}

// ParseDigest reads the digest of a module, with or without "sha256:", and gives it with it.
func ParseDigest(text string) (string, error) {
	digest := "sha256:" + strings.TrimPrefix(text, "sha256:")
	if !digestPattern.MatchString(digest) {
		return "", fmt.Errorf("the digest of a module is %q; it must be 64 hex digits (0-9, a-f), with or without \"sha256:\" before them",
			shorten(text, MaxMessageBytes))
	}
	return digest, nil
}
