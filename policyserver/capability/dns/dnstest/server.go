package dnstest

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Server answers over UDP on the loopback interface. It knows one host, twice.test, by the
// addresses 192.0.2.1, 192.0.2.2 and 2001:db8::1.
type Server struct {
	conn      net.PacketConn
	questions atomic.Int64
	silent    atomic.Bool
}

// New starts a server that goes with the test.
func New(t testing.TB) *Server {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{conn: conn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.serve()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return s
}

func (s *Server) serve() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var message dnsmessage.Message
		if message.Unpack(buffer[:n]) != nil || len(message.Questions) != 1 || s.silent.Load() {
			continue
		}
		if answer, err := s.answer(message); err == nil {
			_, _ = s.conn.WriteTo(answer, from)
		}
	}
}

// answer names one of the addresses twice.
func (s *Server) answer(message dnsmessage.Message) ([]byte, error) {
	question := message.Questions[0]
	message.Response, message.Additionals = true, nil
	header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class, TTL: 60}
	switch {
	case !strings.EqualFold(question.Name.String(), "twice.test."):
		message.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeA:
		s.questions.Add(1)
		for _, last := range []byte{1, 2, 1} {
			message.Answers = append(message.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, last}}})
		}
	case question.Type == dnsmessage.TypeAAAA:
		address := &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}}
		message.Answers = []dnsmessage.Resource{{Header: header, Body: address}}
	}
	return message.Pack()
}

// Resolver asks this server, whatever the system's configuration says.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// Questions is how often the addresses of IPv4 were asked for.
func (s *Server) Questions() int64 { return s.questions.Load() }

// Silence has the server answer nobody from now on.
func (s *Server) Silence() { s.silent.Store(true) }
