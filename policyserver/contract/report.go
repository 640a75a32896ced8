package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Report is what one replica says of itself. It is written under the replica's Pod name
// into the ConfigMap ReportConfigMapName, when something changed and never as a heartbeat.
type Report struct {
	// Contract is Version of the replica's binary.
	Contract int `json:"contract"`
	// Version is the version of the replica's binary.
	Version string `json:"version"`
	// StartTime is when the process started, RFC 3339.
	StartTime string `json:"startTime"`
	// SetRevision is a hash of everything that is served.
	SetRevision string `json:"setRevision"`
	// ConfigRevision is ConfigRevision of the policies.yml that was last acted upon
	// to its end: every entry of it is in Policies or in Failures.
	ConfigRevision string `json:"configRevision"`
	// ServingCertificate is the SHA-256 fingerprint of the leaf that is presented, in hex;
	// empty without TLS.
	ServingCertificate string `json:"servingCertificate,omitempty"`
	// ClientCA is the SHA-256 fingerprint of the client authorities, in hex; empty without.
	ClientCA string `json:"clientCA,omitempty"`
	// OwnClientCA is AuthoritiesFingerprint of those by which the operator and the audit
	// scanner are known; empty without.
	OwnClientCA string `json:"ownClientCA,omitempty"`
	// Clients is nil where nobody needs a certificate.
	Clients *Clients `json:"clients,omitempty"`
	// Policies maps the ID of each policy that is served to what is served of it.
	Policies map[string]Served `json:"policies,omitempty"`
	// Failures maps the ID of each policy whose wanted revision is not served to the reason.
	Failures map[string]Failure `json:"failures,omitempty"`
	// Digests are the full digests ("sha256:" and 64 hex digits) of the modules that are
	// served and that the entry in policies.yml does not pin: of a policy by its ID, of a
	// member of a group by <ID>/<member> (MemberID). Whoever pins a module needs all digits.
	Digests map[string]string `json:"digests,omitempty"`
	// Unreadable maps each kind of objects (UnreadableKey) that policies declare and that this
	// replica cannot read for them to the reason.
	Unreadable map[string]Unreadable `json:"unreadable,omitempty"`
	// Truncated says that something was left out to keep the report small. What such a
	// report does not name is not known.
	Truncated bool `json:"truncated,omitempty"`
}

// Knows says whether the report tells of a policy all there is to tell: one that was cut may
// have lost it.
func (r Report) Knows(id string) bool {
	_, served := r.Policies[id]
	return served || !r.Truncated
}

// Flawless says that every policy of the configuration is served as it is wanted. A report
// that was cut says so only as long as it has digests, since those go before failures.
func (r Report) Flawless() bool {
	return len(r.Failures) == 0 && (!r.Truncated || len(r.Digests) > 0)
}

// Served is one policy as a replica serves it. Every field is cut to 12 hex digits; on the
// wire it is a list of them, the last of which may be absent.
type Served struct {
	// Revision is Revision(entry, ModuleDigest).
	Revision string
	// ModuleDigest is the digest of the module, without "sha256:"; of a group it is one
	// over the digests of the members' modules.
	ModuleDigest string
	// Owner is OwnerHash of the policy that it is served for; empty where the entry names none.
	Owner string
}

// OwnerHash stands for the UID of a policy's custom resource in a report; nothing for none.
func OwnerHash(uid string) string {
	if uid == "" {
		return ""
	}
	return ShortHash(uid)
}

// MayBe says whether a policy is served for the custom resource of that UID: a report may be
// about one that is gone and had the same name. Where either side names none, it may.
func (s Served) MayBe(uid string) bool {
	return s.Owner == "" || uid == "" || s.Owner == OwnerHash(uid)
}

// MarshalJSON writes a list.
func (s Served) MarshalJSON() ([]byte, error) {
	if s.Owner == "" {
		return json.Marshal([]string{s.Revision, s.ModuleDigest})
	}
	return json.Marshal([]string{s.Revision, s.ModuleDigest, s.Owner})
}

// UnmarshalJSON reads the list that MarshalJSON writes.
func (s *Served) UnmarshalJSON(data []byte) error {
	var list [3]string // what is absent stays empty, what comes after is of a later contract
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("decode served policy: %w", err)
	}
	s.Revision, s.ModuleDigest, s.Owner = list[0], list[1], list[2]
	return nil
}

// Failure says why the wanted revision of a policy is not served.
type Failure struct {
	// Wanted is EntryHash of the entry that failed.
	Wanted string `json:"wanted"`
	// Reason is one of the Reason constants.
	Reason Reason `json:"reason"`
	// Message is for people: at most MaxMessageBytes bytes of UTF-8.
	Message string `json:"message"`
}

// MaxMessageBytes bounds Failure.Message.
const MaxMessageBytes = 256

// Reason classifies a failure. A transient one is tried again by the server.
type Reason string

// Reasons of a Failure.
const (
	ReasonInvalidEntry    Reason = "InvalidEntry"
	ReasonFetchFailed     Reason = "FetchFailed"     // transient: network, timeout, the source is overloaded or broken
	ReasonModuleNotFound  Reason = "ModuleNotFound"  // the source answered that there is none
	ReasonModuleForbidden Reason = "ModuleForbidden" // the source refused our credentials
	ReasonInvalidModule   Reason = "InvalidModule"   // no module, a wrong digest, or one that the engine refuses
	ReasonUnverified      Reason = "Unverified"      // the module lacks signatures that verification.yml demands
	ReasonInvalidSettings Reason = "InvalidSettings"
	ReasonNoRoom          Reason = "NoRoom"      // the replica's memory has no room for the module
	ReasonUnavailable     Reason = "Unavailable" // transient: the server lacks a resource now
)

// Transient says whether trying again can help without a change of the entry.
func (r Reason) Transient() bool { return r == ReasonFetchFailed || r == ReasonUnavailable }

// Refusal says whether the source refuses the module, which is final for now: somebody may
// put that right there, without a change of the entry.
func (r Reason) Refusal() bool {
	return r == ReasonModuleNotFound || r == ReasonModuleForbidden || r == ReasonUnverified
}

// NewFailure makes a Failure whose message holds to MaxMessageBytes.
func NewFailure(wanted string, reason Reason, message string) Failure {
	return Failure{Wanted: wanted, Reason: reason, Message: shorten(message, MaxMessageBytes)}
}

// shorten bounds a text to n bytes, without leaving a part of a character.
func shorten(text string, n int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= n {
		return text
	}
	const ellipsis = "..."
	end := n - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// Unreadable says why objects of a kind cannot be read for policies.
type Unreadable struct {
	// Reason is one of the Unreadable constants.
	Reason UnreadableReason `json:"reason"`
	// Message is for people: at most MaxMessageBytes bytes of UTF-8.
	Message string `json:"message"`
}

// UnreadableReason classifies what keeps a replica from reading a kind.
type UnreadableReason string

// Reasons of an Unreadable.
const (
	UnreadableForbidden UnreadableReason = "Forbidden" // the account lacks a right
	UnreadableNotServed UnreadableReason = "NotServed" // the API server lists no such kind
	UnreadableNoRoom    UnreadableReason = "NoRoom"    // the objects do not fit into memory
)

// UnreadableKey is how Report.Unreadable names a kind: "apps/v1/Deployment", or "v1/Pod".
func UnreadableKey(apiVersion, kind string) string { return apiVersion + "/" + kind }

// NewUnreadable makes an Unreadable whose message holds to MaxMessageBytes.
func NewUnreadable(reason UnreadableReason, message string) Unreadable {
	return Unreadable{Reason: reason, Message: shorten(message, MaxMessageBytes)}
}
