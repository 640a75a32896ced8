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
	// Requests is after how many requests it ends at the latest.
	Requests int64
}

// DefaultAge is the age of a connection where nothing else is said.
var DefaultAge = Age{Mean: time.Minute, Requests: 10_000}

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
	expires  time.Time
	requests atomic.Int64
}

// connContext gives a new connection its age.
func (a aging) connContext(ctx context.Context, _ net.Conn) context.Context {
	lifetime := a.age.Mean/2 + rand.N(a.age.Mean) //nolint:gosec // spreading, not secrecy
	return context.WithValue(ctx, connectionKey{}, &connection{expires: a.now().Add(lifetime)})
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
	return current.requests.Add(1) >= a.age.Requests || !a.now().Before(current.expires)
}
