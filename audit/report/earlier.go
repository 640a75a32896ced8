package report

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewarden/kubewarden-operator/matching"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Earlier is a result that stood in the report of an object when the session began.
type Earlier struct {
	Outcome Outcome
	Message string
	Time    time.Time
	seal    string
}

// Question names a result in a report: the ID of a policy, and the operation.
type Question struct {
	PolicyID  string
	Operation matching.Operation
}

// Sealed says whether anything is known of what the result followed from.
func (e Earlier) Sealed() bool { return e.seal != "" }

// FollowsFrom says whether the result followed from this basis. One that somebody has
// changed since did not.
func (e Earlier) FollowsFrom(basis string) bool {
	return e.Sealed() && e.seal == seal(basis, e.Outcome, e.Message)
}

// seal ties a verdict to its basis, 12 hex digits. It is "" for a verdict without one.
func seal(basis string, outcome Outcome, message string) string {
	if basis == "" {
		return ""
	}
	return contract.ShortHash(basis + "\x00" + string(outcome) + "\x00" + message)
}

// Earlier is what the report of an object said when the session began, or nothing.
func (s *Session) Earlier(ctx context.Context, object types.UID) (map[Question]Earlier, error) {
	name := string(object)
	s.mu.Lock()
	k, exists := s.existing[name]
	s.mu.Unlock()
	if !exists {
		return nil, nil
	}
	if !k.unheld {
		return byQuestion(k.results), nil
	}
	current := s.store.family.empty(s.namespace)
	err := s.store.client.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: name}, current)
	if apierrors.IsNotFound(err) || err == nil && !isOurs(current) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get report %s of %s: %w", name, place(s.namespace), err)
	}
	c, err := s.store.family.read(current)
	if err != nil {
		return nil, err
	}
	results := make([]remembered, 0, len(c.Results))
	for i := range c.Results {
		results = append(results, remember(&c.Results[i]))
	}
	return byQuestion(results), nil
}

// remembered is a result with the question that it answered.
type remembered struct {
	question Question
	earlier  Earlier
}

func remember(e *entry) remembered {
	operation := matching.Operation(e.Rule)
	if operation == "" {
		operation = matching.Create
	}
	return remembered{Question{e.Policy, operation}, Earlier{
		Outcome: e.Outcome, Message: e.Message, Time: time.Unix(e.Seconds, 0), seal: e.Properties[propertyVerdictBasis],
	}}
}

func byQuestion(results []remembered) map[Question]Earlier {
	all := make(map[Question]Earlier, len(results))
	for _, r := range results {
		all[r.question] = r.earlier
	}
	return all
}

// What sessions remember of results.
const (
	// maxHeld bounds it for all sessions together, in bytes. Reports for which there is no
	// room are read again one by one.
	maxHeld = 64 << 20
	// resultBytes is about what a result takes, besides its message.
	resultBytes = 200
)

// held counts the bytes that sessions remember.
type held struct {
	bytes atomic.Int64
	limit int64
}

// take says whether there is room, and takes it.
func (h *held) take(bytes int64) bool {
	if h.bytes.Add(bytes) <= h.limit {
		return true
	}
	h.bytes.Add(-bytes)
	return false
}

// hold has the session remember results, if there is room.
func (s *Session) hold(k *known, results []entry) {
	var bytes int64
	for i := range results {
		bytes += resultBytes + int64(len(results[i].Message))
	}
	if !s.store.held.take(bytes) {
		k.unheld = true
		return
	}
	s.heldBytes += bytes
	k.results = make([]remembered, 0, len(results))
	for i := range results {
		r := remember(&results[i])
		r.question.PolicyID = s.word(r.question.PolicyID)
		r.question.Operation = matching.Operation(s.word(string(r.question.Operation)))
		r.earlier.Outcome = Outcome(s.word(string(r.earlier.Outcome)))
		k.results = append(k.results, r)
	}
}

// word is a text that many reports have, kept once.
func (s *Session) word(text string) string {
	if known, is := s.words[text]; is {
		return known
	}
	s.words[text] = text
	return text
}

// Close forgets what the session remembers. The session must not be used afterwards.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.held.bytes.Add(-s.heldBytes)
	s.heldBytes, s.existing, s.words = 0, nil, nil
}
