package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// connected are both ends of a connection that lingers for a time.
func connected(t *testing.T, linger time.Duration) (server, client net.Conn) {
	t.Helper()
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if client, err = new(net.Dialer).DialContext(t.Context(), "tcp", plain.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = (lingeringListener{plain, linger}).Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, client
}

// untilGone waits until an end is closed for good.
func untilGone(t *testing.T, server net.Conn) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !errors.Is(server.SetWriteDeadline(time.Time{}), net.ErrClosed) {
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatal("the connection is still there")
		}
	}
}

func TestAClosedConnectionTakesInWhatIsOnItsWay(t *testing.T) {
	server, client := connected(t, time.Hour)
	for range 2 {
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the client reads %v, want the end", err)
	}
	for n := range 3 { // the first would go well in any case, and be answered by a reset
		if _, err := client.Write([]byte("late")); err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	untilGone(t, server)
}

func TestAClosedConnectionDoesNotWaitForEver(t *testing.T) {
	server, _ := connected(t, 10*time.Millisecond)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	untilGone(t, server)
}

func TestAConnectionThatTheClientHasBrokenIsClosedAtOnce(t *testing.T) {
	server, client := connected(t, time.Hour)
	if err := client.(*net.TCPConn).SetLinger(0); err != nil { // a reset in place of an end
		t.Fatal(err)
	}
	client.Close()
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Fatal("the server reads on")
	}
	_ = server.Close() // whether that is an error is the system's affair
	untilGone(t, server)
}

// Only clients of the API keep connections that are ended while they send.
func TestConnectionsOfTheAPIPortLinger(t *testing.T) {
	server, err := Listen(t.Context(), Config{
		APIAddress: "127.0.0.1:0", ReadinessAddress: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	for _, port := range server.ports {
		client, err := new(net.Dialer).DialContext(t.Context(), "tcp", port.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		accepted, err := port.listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		if _, lingers := accepted.(*lingering); lingers != (port.name == "API") {
			t.Errorf("a connection of port %s lingers: %t", port.name, lingers)
		}
	}
}
