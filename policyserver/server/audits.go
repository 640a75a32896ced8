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

// flushEvery is after how long answers are sent that are there, while others are not: whoever
// asked sees that the server works.
const flushEvery = time.Second

// serveAudits asks several policies about one object (contract.PathAudits). The object is read
// once and has one place in the queue, but each policy waits for its turn anew: whatever was
// begun, an admission request comes before the next policy. For the observer, and for logs,
// each policy is a request of its own.
func (h *Handler) serveAudits(writer http.ResponseWriter, request *http.Request, target endpoint) {
	audits := audits{Handler: h, target: target, writer: writer, flushed: h.config.Now()}
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
	// begun says that a status has been sent.
	begun   bool
	flushed time.Time
	// noWorker says that a policy waited for its turn in vain. Those after it do not wait.
	noWorker error
}

// answer asks the policies one after the other. It ends early when nobody waits any more.
func (a *audits) answer(ctx context.Context) error {
	for _, policyID := range a.policyIDs {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // there is nobody to be told
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
		a.begun = true
		if _, err := a.writer.Write(line); err != nil {
			return nil //nolint:nilerr // there is nobody to be told
		}
		a.flush()
	}
	return nil
}

// flush sends what has been written, now and then.
func (a *audits) flush() {
	now := a.config.Now()
	if now.Sub(a.flushed) < flushEvery {
		return
	}
	a.flushed = now
	_ = http.NewResponseController(a.writer).Flush()
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
		return a.inTurn(ctx, true, func(ctx context.Context) ([]byte, error) {
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
