package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// Answers are sent together, but not all at the end: whoever asked is to see that the server
// works, and what is kept here has a bound.
const (
	sendEvery = time.Second
	sendBytes = 64 << 10
)

// serveAudits asks several policies about one object (contract.PathAudits). The object is read
// once, has one place in the queue, and keeps its worker from policy to policy, as long as no
// request waits that somebody waits for: that one comes before the next policy. For the
// observer, and for logs, each policy is a request of its own.
func (h *Handler) serveAudits(writer http.ResponseWriter, request *http.Request, target endpoint) {
	audits := audits{Handler: h, target: target, writer: writer, sent: h.config.Now()}
	decode := func(body []byte) (err error) {
		if audits.policyIDs, err = policyIDs(request.URL.RawQuery); err != nil {
			return err
		}
		if audits.request, err = target.decode(body, target.origin); err != nil {
			return undecodable(err)
		}
		return nil
	}
	_, err := h.let(writer, request, visit{asked: contract.PathAudits, audit: true, decode: decode, answer: func(ctx context.Context) ([]byte, error) {
		writer.Header().Set("Content-Type", contract.TypeAudits)
		return nil, audits.answer(ctx)
	}})
	if err != nil && !audits.begun {
		h.counted(target, func() int { return h.reject(writer, request, target, err) })
	}
}

// policyIDs are those that a query names.
func policyIDs(query string) ([]string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, &rejection{http.StatusBadRequest, "the query cannot be read: " + err.Error(), nil}
	}
	ids := values[contract.ParamPolicy]
	if len(ids) == 0 || len(ids) > contract.MaxAudits {
		return nil, &rejection{http.StatusBadRequest, fmt.Sprintf("the query names %d policies as %s, allowed are 1 to %d", len(ids), contract.ParamPolicy, contract.MaxAudits), nil}
	}
	return ids, nil
}

// audits are those of one object.
type audits struct {
	*Handler

	target    endpoint
	policyIDs []string
	request   evaluation.Request
	writer    http.ResponseWriter
	// lines are answers that are to be sent; the last were at the time of sent.
	lines []byte
	sent  time.Time
	// begun says that a status has been sent.
	begun bool
	// working says that there is a worker.
	working bool
	// noWorker says that a policy waited for its turn in vain. Those after it do not wait.
	noWorker error
}

// answer asks the policies one after the other. It ends early when nobody waits any more.
func (a *audits) answer(ctx context.Context) error {
	defer a.stop()
	for _, policyID := range a.policyIDs {
		if ctx.Err() != nil {
			return nil // there is nobody to be told
		}
		var answer contract.AuditAnswer
		a.counted(a.target, func() int {
			answer = a.one(ctx, policyID)
			return answer.Status
		})
		line, err := contract.EncodeAuditAnswer(answer)
		if err != nil {
			return err
		}
		a.lines = append(a.lines, line...)
		if a.working && a.queue.yield() {
			a.working = false
		}
		if len(a.lines) >= sendBytes || a.config.Now().Sub(a.sent) >= sendEvery {
			a.send()
			_ = http.NewResponseController(a.writer).Flush()
		}
	}
	a.send()
	return nil
}

// send writes what there is. Whoever reads slowly holds up no worker.
func (a *audits) send() {
	a.stop()
	a.begun, a.sent = true, a.config.Now()
	_, _ = a.writer.Write(a.lines) // an error means that nobody is there any more
	a.lines = a.lines[:0]
}

// stop gives the worker back.
func (a *audits) stop() {
	if a.working {
		a.queue.done()
		a.working = false
	}
}

// inTurn is Handler.inTurn for one policy after the other.
func (a *audits) inTurn(ctx context.Context, work func(context.Context) ([]byte, error)) ([]byte, error) {
	queued := a.config.Now()
	if !a.working {
		if err := a.queue.begin(ctx, true); err != nil {
			return nil, a.overloaded(noWorker, err)
		}
		a.working = true
	}
	a.config.Observer.WorkStarted(a.config.Now().Sub(queued))
	defer a.config.Observer.WorkEnded()
	return work(ctx)
}

// one is what contract.PathAudit would have answered for a policy.
func (a *audits) one(ctx context.Context, policyID string) contract.AuditAnswer {
	answer := contract.AuditAnswer{Policy: policyID, Status: http.StatusOK}
	body, err := a.guarded(ctx, policyID, func() ([]byte, error) {
		if err := checkID(policyID); err != nil {
			return nil, err
		}
		if a.noWorker != nil {
			return nil, a.overloaded(noWorker, a.noWorker)
		}
		return a.inTurn(ctx, func(ctx context.Context) ([]byte, error) {
			verdict, err := a.ask(ctx, a.target, policyID, a.request)
			answer.Revision = verdict.revision
			return verdict.body, err
		})
	})
	answer.Body = body
	if err != nil {
		if errors.Is(err, errNoWorker) {
			a.noWorker = err
		}
		rejected := a.rejected(ctx, contract.PathAudit+policyID, err)
		answer.Status, answer.Body = rejected.status, rejected.json()
		if rejected.status == http.StatusServiceUnavailable {
			answer.RetryAfter = retryAfter
		}
	}
	return answer
}
