package server

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Age is how long a connection lives.
type Age struct {
	// Mean is its age at the end; each connection gets an age from half to one and a half
	// of it, so that they do not all end together.
	Mean time.Duration
	// A connection that has carried Requests ends when it is Busy old, from half to one and a
	// half of it: whoever sends much is to meet every replica soon.
	Requests int64
	Busy     time.Duration
}

// DefaultAge is the age of a connection where nothing else is said. A new connection costs
// both sides about a millisecond, so that even the busiest one spends no more than some
// thousandths of its time on that.
var DefaultAge = Age{Mean: time.Minute, Requests: 100, Busy: 500 * time.Millisecond}

// aging tells connections to go away after a while. An API server sends all requests to a
// webhook over one HTTP/2 connection and keeps it for as long as it can: without this, a
// replica that joins would get no traffic.
type aging struct {
	age     Age
	now     func() time.Time
	leaving *atomic.Bool // every connection is to go away now
}

type connectionKey struct{}

type connection struct {
	// expires is when it ends, busy when it ends that has carried enough requests.
	expires, busy time.Time
	requests      atomic.Int64
}

// connContext gives a new connection its age.
func (a aging) connContext(ctx context.Context, _ net.Conn) context.Context {
	now := a.now()
	return context.WithValue(ctx, connectionKey{}, &connection{expires: now.Add(about(a.age.Mean)), busy: now.Add(about(a.age.Busy))})
}

// about is a time from half to one and a half of the mean.
func about(mean time.Duration) time.Duration {
	if mean <= 0 {
		return 0
	}
	return mean/2 + rand.N(mean) //nolint:gosec // spreading, not secrecy
}

// wrap adds Connection: close where it is due; on HTTP/2 net/http turns that into a
// GOAWAY, after which running requests are answered still.
func (a aging) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		current, _ := request.Context().Value(connectionKey{}).(*connection)
		if a.leaving.Load() || (current != nil && a.due(current)) {
			writer.Header().Set("Connection", "close")
		}
		next.ServeHTTP(writer, request)
	})
}

func (a aging) due(current *connection) bool {
	now := a.now()
	if current.requests.Add(1) >= a.age.Requests && !now.Before(current.busy) {
		return true
	}
	return !now.Before(current.expires)
}
