package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// Evaluator judges requests; *evaluation.Environment is one.
type Evaluator interface {
	Evaluate(ctx context.Context, policyID string, request evaluation.Request) (evaluation.Response, error)
}

// LoadObserver is told how busy the server is; *telemetry.Metrics is one.
type LoadObserver interface {
	RequestStarted()
	// RequestEnded ends what RequestStarted began.
	RequestEnded(answered Answered)
	// WorkStarted is a request that got a worker after a wait, and WorkEnded gives it back.
	WorkStarted(waited time.Duration)
	WorkEnded()
	// Overloaded is a request that was sent away, and why, in a few fixed words.
	Overloaded(reason string)
}

// Answered is how a request ended.
type Answered struct {
	// Endpoint is "validate", "audit", "raw" or "settings".
	Endpoint string
	Status   int
	Took     time.Duration
}

// HandlerConfig is what a Handler is made from. Every field but Settings is needed.
type HandlerConfig struct {
	Evaluator Evaluator
	Observer  LoadObserver
	// Settings has settings checked for the operator; nil leaves that path out.
	Settings *Settings
	// MaxBodyBytes bounds the body of a request.
	MaxBodyBytes int64
	// Workers is how many requests are evaluated at the same time, QueueLimit how many
	// more may wait, and QueueWait for how long.
	Workers, QueueLimit int
	QueueWait           time.Duration
	Logger              *slog.Logger
	Now                 func() time.Time
}

// Handler serves the API port. Which status and body a request gets is upstream's
// (policy-server: api/handlers.rs, api/api_error.rs), except that an overloaded server
// says so with 503 and Retry-After, which makes an API server ask again.
type Handler struct {
	config HandlerConfig
	queue  *queue
}

// NewHandler makes a handler.
func NewHandler(config HandlerConfig) *Handler {
	return &Handler{config: config, queue: newQueue(config.Workers, config.QueueLimit, config.QueueWait)}
}

// endpoint is what distinguishes one path from the others.
type endpoint struct {
	origin evaluation.Origin
	decode func(body []byte, origin evaluation.Origin) (evaluation.Request, error)
	encode func(uid string, response evaluation.Response) ([]byte, error)
	// plain says that a rejected request gets its text as it is, not as JSON.
	plain bool
	// together says that it is for several policies, which the query names.
	together bool
}

var endpoints = map[string]endpoint{
	contract.PathValidate:    {origin: evaluation.OriginValidate, decode: decodeReview, encode: encodeReview},
	contract.PathAudit:       {origin: evaluation.OriginAudit, decode: decodeReview, encode: encodeReview, plain: true},
	contract.PathValidateRaw: {origin: evaluation.OriginRaw, decode: decodeRaw, encode: encodeRaw, plain: true},
}

// auditsEndpoint is contract.PathAudits.
var auditsEndpoint = endpoint{origin: evaluation.OriginAudit, decode: decodeReview, encode: encodeReview, plain: true, together: true}

// settingsEndpoint has no review to decode and encode.
var settingsEndpoint = endpoint{origin: "settings"}

// room is more than what an answer needs of the stack.
const room = 8 << 10

// growStack makes the stack of a request's goroutine, which begins with 2 KB, as large as it
// will have to be, while there is little on it: to move it later, from deep inside of a policy,
// takes several times as long.
// The compiler leaves no room for what it can tell the content of, hence the argument.
//
//go:noinline
func growStack(at int) byte {
	var stack [room]byte
	return stack[at%room]
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	growStack(len(request.Method))
	target, policyID, found := h.route(request.URL.EscapedPath())
	switch {
	case !found:
		writer.WriteHeader(http.StatusNotFound)
		return
	case request.Method != http.MethodPost:
		writer.Header().Set("Allow", http.MethodPost)
		writer.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := whileWaitedFor(request)
	defer cancel()
	request = request.WithContext(ctx)
	if target.together {
		h.serveAudits(writer, request, target)
		return
	}
	h.counted(target, func() int {
		ask := h.answer
		if target.origin == settingsEndpoint.origin {
			ask = h.checkSettings
		}
		answer, err := ask(writer, request, target, policyID)
		if err != nil {
			return h.reject(writer, request, target, err)
		}
		send(writer, http.StatusOK, "application/json", answer)
		return http.StatusOK
	})
}

// counted has the observer told of a request, which answer answers with a status.
func (h *Handler) counted(target endpoint, answer func() (status int)) {
	started, status := h.config.Now(), http.StatusOK
	h.config.Observer.RequestStarted()
	defer func() {
		h.config.Observer.RequestEnded(Answered{Endpoint: string(target.origin), Status: status, Took: h.config.Now().Sub(started)})
	}()
	status = answer()
}

// route splits a path into its endpoint and the policy ID, or the digest of a module.
func (h *Handler) route(path string) (endpoint, string, bool) {
	if rest, found := pathRest(path, contract.PathValidateSettings); found && h.config.Settings != nil {
		return settingsEndpoint, rest, true
	}
	if path == contract.PathAudits {
		return auditsEndpoint, "", true
	}
	for prefix, target := range endpoints {
		if policyID, found := pathRest(path, prefix); found {
			return target, policyID, true
		}
	}
	return endpoint{}, "", false
}

// pathRest is the one segment that follows a prefix, unescaped.
func pathRest(path, prefix string) (string, bool) {
	escaped, found := strings.CutPrefix(path, prefix)
	if !found || escaped == "" || strings.Contains(escaped, "/") {
		return "", false
	}
	rest, err := url.PathUnescape(escaped)
	return rest, err == nil
}

// rejection is a request that gets no review for an answer.
type rejection struct {
	status int
	text   string
	cause  error // for the log; nil when the text says it all
}

func (r *rejection) Error() string { return r.text }

func (r *rejection) Unwrap() error { return r.cause }

// errInternal tells nobody outside what went wrong; upstream's words.
func errInternal(cause error) error {
	return &rejection{http.StatusInternalServerError, "Something went wrong", cause}
}

// answer takes a request for a verdict from its headers to the bytes of its answer.
func (h *Handler) answer(writer http.ResponseWriter, request *http.Request, target endpoint, policyID string) ([]byte, error) {
	var decoded evaluation.Request
	decode := func(body []byte) (err error) {
		if decoded, err = target.decode(body, target.origin); err != nil {
			return undecodable(err)
		}
		return checkID(policyID)
	}
	audit := target.origin == evaluation.OriginAudit
	return h.let(writer, request, visit{asked: policyID, audit: audit, decode: decode, answer: func(ctx context.Context) ([]byte, error) {
		return h.inTurn(ctx, audit, func(ctx context.Context) ([]byte, error) {
			verdict, err := h.ask(ctx, target, policyID, decoded)
			if verdict.revision != "" {
				writer.Header().Set(contract.HeaderVerdictRevision, verdict.revision)
			}
			return verdict.body, err
		})
	}})
}

// checkID refuses what is the ID neither of a policy nor of a member of a group.
func checkID(policyID string) error {
	if strings.Count(policyID, "/") > 1 {
		return errInternal(errors.New("the policy ID has more than one slash"))
	}
	return nil
}

// verdict is the answer of a policy.
type verdict struct {
	body []byte
	// revision is that of evaluation.Response.
	revision string
}

// ask asks a policy.
func (h *Handler) ask(ctx context.Context, target endpoint, policyID string, request evaluation.Request) (verdict, error) {
	response, err := h.config.Evaluator.Evaluate(ctx, policyID, request)
	if err != nil {
		return verdict{}, h.unanswered(policyID, err)
	}
	body, err := target.encode(request.UID, response)
	if err != nil {
		return verdict{}, errInternal(err)
	}
	return verdict{body, response.Revision}, nil
}

// visit is what is done about a request that the queue lets in.
type visit struct {
	// asked is the ID of the policy, or the digest of the module, for the log.
	asked string
	// audit is as in queue.
	audit  bool
	decode func(body []byte) error
	// answer gives the answer; what it takes time for is done in turn.
	answer func(context.Context) ([]byte, error)
}

// let reads a request and answers it, if the queue lets it in.
func (h *Handler) let(writer http.ResponseWriter, request *http.Request, visit visit) ([]byte, error) {
	return h.guarded(request.Context(), visit.asked, func() ([]byte, error) {
		if !h.queue.enter(visit.audit) {
			return nil, h.overloaded("queue full", nil)
		}
		defer h.queue.leave(visit.audit)
		if !isJSON(request.Header.Get("Content-Type")) {
			return nil, &rejection{http.StatusUnsupportedMediaType, "Expected request with `Content-Type: application/json`", nil}
		}
		body, err := h.read(writer, request)
		if err != nil {
			return nil, err
		}
		if err := visit.decode(body); err != nil {
			return nil, err
		}
		return visit.answer(request.Context())
	})
}

// guarded makes an error of a panic.
func (h *Handler) guarded(ctx context.Context, asked string, do func() ([]byte, error)) (answer []byte, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			h.config.Logger.ErrorContext(ctx, "panic while answering", "policy_id", asked, "panic", panicked, "stack", string(debug.Stack()))
			answer, err = nil, errInternal(nil)
		}
	}()
	return do()
}

// inTurn has a worker do something when the queue says so.
func (h *Handler) inTurn(ctx context.Context, audit bool, work func(context.Context) ([]byte, error)) ([]byte, error) {
	queued := h.config.Now()
	if err := h.queue.begin(ctx, audit); err != nil {
		return nil, h.overloaded(noWorker, err)
	}
	defer h.queue.done()
	h.config.Observer.WorkStarted(h.config.Now().Sub(queued))
	defer h.config.Observer.WorkEnded()
	return work(ctx)
}

// noWorker is why a request is sent away that waited for its turn.
const noWorker = "no worker"

// isJSON accepts application/json and application/*+json, with any parameters.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	subtype, found := strings.CutPrefix(mediaType, "application/")
	return found && (subtype == "json" || strings.HasSuffix(subtype, "+json"))
}

// bodyTimeout bounds the reading of a body, where the sender's patience does not: whoever
// sends it occupies a place.
const bodyTimeout = 10 * time.Second

func (h *Handler) read(writer http.ResponseWriter, request *http.Request) ([]byte, error) {
	control := http.NewResponseController(writer)
	// A writer without deadlines is one of a test.
	allowed := bodyTimeout
	if waits := patience(request); waits > 0 {
		allowed = min(allowed, waits)
	}
	_ = control.SetReadDeadline(h.config.Now().Add(allowed))
	limited := http.MaxBytesReader(writer, request.Body, h.config.MaxBodyBytes)
	body, err := readAll(limited, min(request.ContentLength, h.config.MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &rejection{http.StatusRequestEntityTooLarge, "Failed to buffer the request body: length limit exceeded", nil}
	case err != nil:
		return nil, &rejection{http.StatusBadRequest, "Failed to buffer the request body: " + err.Error(), nil}
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// readAll is io.ReadAll for a length that is probably known.
func readAll(reader io.Reader, length int64) ([]byte, error) {
	const blind = 4096 // trust in a length that was only announced
	body := make([]byte, 0, max(512, min(length, 64*blind))+1)
	for {
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		case len(body) == cap(body):
			body = append(body, 0)[:len(body)]
		}
	}
}

func undecodable(err error) error {
	if isSyntax(err) {
		return &rejection{http.StatusBadRequest, "Failed to parse the request body as JSON: " + err.Error(), nil}
	}
	return &rejection{http.StatusUnprocessableEntity, "Failed to deserialize the JSON body into the target type: " + err.Error(), nil}
}

func (h *Handler) overloaded(reason string, cause error) error {
	h.config.Observer.Overloaded(reason)
	return &rejection{http.StatusServiceUnavailable, "the policy server is overloaded: " + reason, cause}
}

// unanswered is the one place where a kind of error becomes a status.
func (h *Handler) unanswered(policyID string, err error) error {
	if failure, is := errors.AsType[*evaluation.Error](err); is {
		switch failure.Kind {
		case evaluation.KindUnknownPolicy:
			return &rejection{http.StatusNotFound, "unknown policy: " + policyID, nil}
		case evaluation.KindUnavailable:
			return &rejection{http.StatusServiceUnavailable, failure.Error(), nil}
		case evaluation.KindUnknownModule:
			return &rejection{http.StatusNotFound, failure.Error(), nil}
		case evaluation.KindInternal:
		}
	}
	return errInternal(err)
}

// reject sends what is not a review, and gives its status.
func (h *Handler) reject(writer http.ResponseWriter, request *http.Request, target endpoint, err error) int {
	rejected := h.rejected(request.Context(), request.URL.Path, err)
	if rejected.status == http.StatusServiceUnavailable {
		writer.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	// Only what is about the body is plain text on some endpoints.
	aboutBody := rejected.status >= 400 && rejected.status < 500 && rejected.status != http.StatusNotFound
	if target.plain && aboutBody {
		send(writer, rejected.status, "text/plain; charset=utf-8", []byte(rejected.text))
		return rejected.status
	}
	send(writer, rejected.status, "application/json", rejected.json())
	return rejected.status
}

// retryAfter is in how many seconds a request that was sent away may come back.
const retryAfter = 1

// rejected is the rejection that an error is, and a line of the log about it.
func (h *Handler) rejected(ctx context.Context, path string, err error) *rejection {
	var rejected *rejection
	if !errors.As(err, &rejected) {
		rejected = &rejection{http.StatusInternalServerError, "Something went wrong", err}
	}
	level := slog.LevelDebug
	if rejected.status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	h.config.Logger.Log(ctx, level, "request rejected", "path", path, "status", rejected.status, "text", rejected.text, "error", rejected.cause)
	return rejected
}

// json is the rejection as a body.
func (r *rejection) json() []byte {
	body, _ := json.Marshal(map[string]any{"message": r.text, "status": r.status})
	return body
}

// send writes an answer. An error means that nobody is there any more to be told.
func send(writer http.ResponseWriter, status int, contentType string, body []byte) {
	writer.Header().Set("Content-Type", contentType)
	writer.WriteHeader(status)
	_, _ = writer.Write(body)
}
