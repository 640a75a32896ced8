package scan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Limits of one question.
const (
	// askTimeout bounds one attempt, from the dial to the last byte; upstream's. Of a question to
	// several policies it bounds the wait for the next answer.
	askTimeout = 10 * time.Second
	// maxRetryAfter bounds what a policy server can make a scan wait for at once.
	maxRetryAfter = 5 * time.Second
	// busyFor is how long a policy server may send a question away because it has no room,
	// before that is the result.
	busyFor = 2 * time.Minute
	// maxAnswer bounds an answer, in bytes. It can hold a patch as large as an object.
	maxAnswer = 16 << 20
	// maxErrorBody bounds what an error quotes of an answer, in bytes.
	maxErrorBody = 256
)

// backoff is waited for between attempts after a failure that may pass: a connection that
// is refused or reset while replicas come and go. An overloaded server that names no time of
// its own is waited for likewise, longer each time as far as there are longer waits.
func backoff() []time.Duration {
	return []time.Duration{250 * time.Millisecond, time.Second, 2500 * time.Millisecond}
}

// AskerConfig is what an Asker needs.
type AskerConfig struct {
	// Transport has the connections to policy servers.
	Transport http.RoundTripper
	// Parallel is the most questions that are put to one policy server at once. Others
	// wait for their turn, and their time does not run while they do.
	Parallel int
	// Now tells the time.
	Now func() time.Time
}

// Asker asks policy servers. It is safe for concurrent use.
type Asker struct {
	client     *http.Client
	askTimeout time.Duration
	backoff    []time.Duration
	busyFor    time.Duration
	now        func() time.Time
	lanes      *lanes
}

// NewAsker makes an Asker.
func NewAsker(config AskerConfig) *Asker {
	return &Asker{
		client:     &http.Client{Transport: config.Transport, CheckRedirect: noRedirect},
		askTimeout: askTimeout,
		backoff:    backoff(),
		busyFor:    busyFor,
		now:        config.Now,
		lanes:      newLanes(config.Parallel, config.Now),
	}
}

// noRedirect has a redirection taken for the answer, which is then an error: the object
// that is asked about goes nowhere but to the policy server.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Answer is what a policy says about an object.
type Answer struct {
	Allowed bool
	// Message of the policy; it may have one also when it allows.
	Message string
	// Revision is the revision of the policy from which, and from the review, the answer
	// follows; "" when it may be another one the next time, or the policy server does not say.
	Revision string
}

// Ask asks the policy server at base what the policy says about a review, whose uid the
// answer must repeat. An error means that there is no verdict.
func (a *Asker) Ask(ctx context.Context, base, policyID string, r Review) (answer Answer, err error) {
	err = a.put(ctx, base, 1, func(lane *lane) error {
		return a.persist(ctx, lane, func() (err error) {
			answer, err = a.try(ctx, base+contract.PathAudit+url.PathEscape(policyID), r)
			return err
		})
	})
	if err != nil {
		answer = Answer{}
	}
	return answer, err
}

// put has so many questions asked when the lane of the policy server at base has places for
// them, unless the server has not answered for a while.
func (a *Asker) put(ctx context.Context, base string, questions int, ask func(*lane) error) error {
	lane := a.lanes.of(base)
	if err := lane.enter(ctx, questions); err != nil {
		return err
	}
	defer lane.leave(questions)
	if err := lane.breaker.refuses(); err != nil {
		return err
	}
	err := ask(lane)
	if ctx.Err() == nil {
		lane.breaker.record(err)
	}
	return err
}

// Review is an AdmissionReview in JSON, and the uid in it.
type Review struct {
	UID  string
	Body []byte
	// digest of the body.
	digest [sha256.Size]byte
}

// persist tries again after failures that may pass.
func (a *Asker) persist(ctx context.Context, lane *lane, try func() error) error {
	begun, unreached := a.now(), 0
	for attempt := 0; ; attempt++ {
		err := try()
		passing, is := errors.AsType[*passingError](err)
		switch {
		case !is:
			lane.answered()
			return err
		case passing.unreachable:
			if unreached++; unreached > len(a.backoff) {
				return err
			}
		default:
			lane.sentAway()
			if a.now().Sub(begun) >= a.busyFor {
				return err
			}
		}
		delay := a.backoff[min(attempt, len(a.backoff)-1)]
		if passing.retryAfter > 0 {
			delay = passing.retryAfter
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
	}
}

// passingError is a failure that may pass.
type passingError struct {
	err error
	// retryAfter is when the server wants to be asked again; 0 when it does not say.
	retryAfter time.Duration
	// unreachable: there was no answer at all.
	unreachable bool
}

func (e *passingError) Error() string { return e.err.Error() }

func (e *passingError) Unwrap() error { return e.err }

func pause(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (a *Asker) try(ctx context.Context, target string, r Review) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.askTimeout)
	defer cancel()
	response, err := a.post(ctx, target, r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := readAnswer(response)
	if err != nil {
		return Answer{}, err
	}
	return answerOf(reply{response.StatusCode, response.Header.Get("Retry-After"), response.Header.Get(contract.HeaderVerdictRevision), body}, r.UID)
}

// post sends a review. The error is a *passingError but for one of the URL.
func (a *Asker) post(ctx context.Context, target string, r Review) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	// A question changes nothing, so the transport may put it again when a kept connection
	// turns out to be closed. An empty list says so without being sent.
	request.Header["X-Idempotency-Key"] = []string{}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, &passingError{err: describe(err), unreachable: true}
	}
	return response, nil
}

// readAnswer reads a body; of one that is too large, a byte more than maxAnswer.
func readAnswer(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, &passingError{err: describe(err), unreachable: true}
	}
	return body, nil
}

// reply is what a policy server says about one policy.
type reply struct {
	status int
	// retryAfter and revision are those of the headers Retry-After and
	// contract.HeaderVerdictRevision.
	retryAfter, revision string
	body                 []byte
}

// answerOf reads a reply to a question about the object of a uid.
func answerOf(r reply, uid string) (Answer, error) {
	if r.status != http.StatusOK {
		return Answer{}, statusError(r)
	}
	if len(r.body) > maxAnswer {
		return Answer{}, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	answer, err := decode(r.body, uid)
	if err != nil {
		return Answer{}, err
	}
	answer.Revision = r.revision
	return answer, nil
}

// describe takes out of a transport error what differs between two attempts that fail
// alike, such as the local port, so that it makes the same report every time.
func describe(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", askTimeout)
	}
	if operation, is := errors.AsType[*net.OpError](err); is {
		return fmt.Errorf("%s %s: %w", operation.Op, operation.Net, operation.Err)
	}
	if outer, is := errors.AsType[*url.Error](err); is {
		return outer.Err
	}
	return err
}

func statusError(r reply) error {
	err := fmt.Errorf("unexpected status code: %d body: %.*s", r.status, maxErrorBody, r.body)
	if r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests {
		return &passingError{err: err, retryAfter: retryAfter(r.retryAfter)}
	}
	return err
}

// retryAfter reads the header's seconds. Its other form, a date, is not used by policy
// servers and counts as none.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds <= 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// answered is the part of an AdmissionReview that an audit reads. A policy server that
// could not evaluate says so with code 500 in an answer of status 200.
type answered struct {
	Response *struct {
		UID     string `json:"uid"`
		Allowed bool   `json:"allowed"`
		Status  *struct {
			Message string `json:"message"`
			Code    int    `json:"code"`
		} `json:"status"`
	} `json:"response"`
}

func decode(body []byte, uid string) (Answer, error) {
	var review answered
	if err := json.Unmarshal(body, &review); err != nil {
		return Answer{}, fmt.Errorf("decode the answer: %w", err)
	}
	if review.Response == nil {
		return Answer{}, errors.New("decode the answer: it has no response")
	}
	response := review.Response
	if response.UID != uid {
		return Answer{}, fmt.Errorf("the answer is about uid %q, asked was about %q", response.UID, uid)
	}
	if response.Status == nil {
		return Answer{Allowed: response.Allowed}, nil
	}
	if response.Status.Code == http.StatusInternalServerError {
		return Answer{}, errors.New(response.Status.Message)
	}
	return Answer{Allowed: response.Allowed, Message: response.Status.Message}, nil
}
