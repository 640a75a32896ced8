package scan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Said is what came of asking a policy: an answer, or why there is none.
type Said struct {
	Answer

	Err error
}

// AsksTogether says whether the policy server at base is asked about several policies at once.
// It is until it turns out not to know how.
func (a *Asker) AsksTogether(base string) bool { return !a.lanes.of(base).apart.Load() }

// AskTogether asks the policy server at base what several policies say about a review, as Ask
// does one by one, and gives what they said in their order. The object is sent once. Policies
// are asked alone where the server does not know how to be asked so, as upstream's does not, and
// where it did not answer for all.
func (a *Asker) AskTogether(ctx context.Context, base string, policyIDs []string, r Review) []Said {
	t := &together{Asker: a, base: base, policyIDs: policyIDs, review: r, said: make([]Said, len(policyIDs))}
	for i := range policyIDs {
		t.open = append(t.open, i)
	}
	if len(policyIDs) > 1 && a.AsksTogether(base) {
		t.ask(ctx)
	} else {
		t.alone = t.open
	}
	for _, i := range t.alone {
		t.said[i].Answer, t.said[i].Err = a.Ask(ctx, base, policyIDs[i], r)
	}
	return t.said
}

// together is a question to several policies.
type together struct {
	*Asker

	base      string
	policyIDs []string
	review    Review
	// said has a place for each policy.
	said []Said
	// open are the places of policies that have not been asked, or whose failure may pass;
	// alone are those to ask alone.
	open, alone []int
	// silence is a *passingError where the server did not say anything, or nil.
	silence error
}

// ask asks those that are open until none is.
func (t *together) ask(ctx context.Context) {
	err := t.put(ctx, t.base, len(t.open), func(lane *lane) error {
		if err := t.persist(ctx, lane, func() error { return t.try(ctx, lane) }); err != nil {
			return err
		}
		return t.silence
	})
	// What a server said stands there already. The end of a scan, or that the server has not
	// answered others, is told of all.
	if _, is := errors.AsType[*passingError](err); !is && err != nil {
		t.fail(err)
	}
}

// fail notes an error for those that are open.
func (t *together) fail(err error) {
	for _, i := range t.open {
		t.said[i] = Said{Err: err}
	}
}

// errSilent ends a question to which no answer comes any more.
var errSilent = errors.New("the policy server says nothing")

// try asks once, and notes what policies say. The error is a *passingError, or nil.
func (t *together) try(ctx context.Context, lane *lane) error {
	ids := make([]string, 0, len(t.open))
	for _, i := range t.open {
		ids = append(ids, t.policyIDs[i])
	}
	// Answers come one after the other: the time is up when nothing came for that long.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(t.askTimeout, func() { cancel(errSilent) })
	defer patience.Stop()
	response, err := t.post(ctx, t.base+contract.AuditsQuery(ids), t.review)
	if err != nil {
		return t.unanswered(ctx, err)
	}
	defer response.Body.Close()
	switch {
	case !knowsTogether(response):
		lane.apart.Store(true)
		t.leaveAlone(t.open)
		return nil
	case response.StatusCode != http.StatusOK:
		body, err := readAnswer(response)
		if err != nil {
			return t.unanswered(ctx, err)
		}
		return t.refused(statusError(reply{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After"), body: body}))
	default:
		return t.read(&patient{response.Body, patience, t.askTimeout})
	}
}

// knowsTogether says whether an answer is one of contract.PathAudits. Other servers do not know
// the path, or take it for something else.
func knowsTogether(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusOK:
		return response.Header.Get("Content-Type") == contract.TypeAudits
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return false
	default:
		return true
	}
}

// leaveAlone has policies that are open asked alone.
func (t *together) leaveAlone(places []int) {
	t.alone = slices.Concat(t.alone, places)
	t.open = slices.DeleteFunc(slices.Clone(t.open), func(i int) bool { return slices.Contains(places, i) })
}

// unanswered is an attempt without an answer. Where time was up, one of the policies takes too
// long, which must not be told of the others.
func (t *together) unanswered(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		t.leaveAlone(t.open)
		t.silence = &passingError{err: errSilent, unreachable: true}
		return nil
	}
	t.fail(err)
	return err
}

// refused is an answer that is the same for all.
func (t *together) refused(err error) error {
	t.fail(err)
	if _, passes := errors.AsType[*passingError](err); passes {
		return err
	}
	t.open = nil
	return nil
}

// patient gives a question more time with each piece of its answer.
type patient struct {
	io.Reader

	patience *time.Timer
	time     time.Duration
}

func (p *patient) Read(into []byte) (int, error) {
	n, err := p.Reader.Read(into)
	if n > 0 {
		p.patience.Reset(p.time)
	}
	return n, err
}

// read notes the answers of policies, which come in their order. Where there is none for some,
// the connection broke, or one takes too long or says too much: they are asked alone.
func (t *together) read(body io.Reader) error {
	lines := bufio.NewReader(io.LimitReader(body, maxAnswer))
	asked := t.open
	var again *passingError
	t.open = nil
	for n, i := range asked {
		answer, err := readLine(lines)
		if err != nil || answer.Policy != t.policyIDs[i] {
			t.leaveAlone(asked[n:])
			break
		}
		t.said[i].Answer, t.said[i].Err = answerOf(reply{answer.Status, strconv.Itoa(answer.RetryAfter), answer.Revision, answer.Body}, t.review.UID)
		if passing, is := errors.AsType[*passingError](t.said[i].Err); is {
			t.open, again = append(t.open, i), passing
		}
	}
	if again != nil {
		return again
	}
	return nil
}

func readLine(lines *bufio.Reader) (contract.AuditAnswer, error) {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return contract.AuditAnswer{}, err
	}
	return contract.DecodeAuditAnswer(bytes.TrimSpace(line))
}
