package server

import (
	"io"
	"net"
	"sync"
	"time"
)

// lingerTime is how long a connection takes in what comes after its end: longer than a client
// is likely to stand still.
const lingerTime = 5 * time.Second

// lingeringListener gives connections that linger.
type lingeringListener struct {
	net.Listener

	time time.Duration
}

// Accept is that of net.Listener.
func (l lingeringListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if connection, is := accepted.(*net.TCPConn); is {
		return &lingering{TCPConn: connection, time: l.time}, nil
	}
	return accepted, err
}

// lingering is a connection that says nothing any more once it is closed, but takes in what the
// client has sent before it knew. net/http closes a connection of HTTP/2 a second after it has told
// the client to leave (GOAWAY) and answered the last request. A client that stands still for
// that long writes its next request, and would be told of a broken pipe before it reads that it
// was to leave: a failed request, where it would have been sent again on another connection.
type lingering struct {
	*net.TCPConn

	time time.Duration
	once sync.Once
	err  error
}

// Close is that of net.Conn. The connection is gone when the client has closed it as well, or
// when the time is up.
func (l *lingering) Close() error {
	l.once.Do(func() {
		if l.err = l.CloseWrite(); l.err != nil {
			l.err = l.TCPConn.Close()
			return
		}
		go l.takeIn()
	})
	return l.err
}

func (l *lingering) takeIn() {
	timeUp := time.AfterFunc(l.time, func() { _ = l.TCPConn.Close() })
	defer timeUp.Stop()
	_, _ = io.Copy(io.Discard, l.TCPConn)
	_ = l.TCPConn.Close()
}
