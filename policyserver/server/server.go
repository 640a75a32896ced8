package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Config is what a Server is made from. Every field is needed unless it says otherwise.
type Config struct {
	// APIAddress, ReadinessAddress and MetricsAddress are host:port; MetricsAddress is ""
	// for none.
	APIAddress, ReadinessAddress, MetricsAddress string
	// Certificates are for the API port; nil means plain HTTP.
	Certificates *Certificates
	// API answers on the API port, Metrics on the metrics port.
	API, Metrics http.Handler
	// Connections is told of connections to the API port; nil for nobody.
	Connections ConnectionObserver
	// Ready is an error as long as the server is not to get requests.
	Ready func() error
	// Age is the age of connections to the API port.
	Age Age
	// DrainPeriod is how long a stopping server goes on to answer as if nothing were, so
	// that everybody who sends requests learns that it is unready.
	DrainPeriod time.Duration
	// ShutdownTimeout bounds the wait for running requests after that.
	ShutdownTimeout time.Duration
	Logger          *slog.Logger
	Now             func() time.Time
}

// ConnectionObserver is told of connections; *telemetry.Metrics is one.
type ConnectionObserver interface {
	ConnectionOpened()
	ConnectionClosed()
}

// Server listens on the ports of a policy server.
type Server struct {
	config  Config
	leaving atomic.Bool
	ports   []*port
}

// port is one thing to listen on.
type port struct {
	name     string
	listener net.Listener
	server   *http.Server
	tls      bool
}

// Listen opens the ports. Run serves them.
func Listen(ctx context.Context, config Config) (*Server, error) {
	server := &Server{config: config}
	age := aging{age: config.Age, now: config.Now, leaving: &server.leaving}
	api := server.newHTTPServer(age.wrap(config.API))
	api.ConnContext = age.connContext
	if config.Connections != nil {
		api.ConnState = server.connState
	}
	api.Protocols = new(http.Protocols)
	api.Protocols.SetHTTP1(true)
	api.Protocols.SetHTTP2(true)
	api.Protocols.SetUnencryptedHTTP2(config.Certificates == nil)
	if config.Certificates != nil {
		api.TLSConfig = config.Certificates.config()
	}
	ports := []struct {
		name, address string
		server        *http.Server
	}{
		{"API", config.APIAddress, api},
		{"readiness", config.ReadinessAddress, server.newHTTPServer(http.HandlerFunc(server.readiness))},
		{"metrics", config.MetricsAddress, server.newHTTPServer(config.Metrics)},
	}
	for _, next := range ports {
		if next.address == "" {
			continue
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", next.address)
		if err != nil {
			server.close()
			return nil, fmt.Errorf("listen for %s: %w", next.name, err)
		}
		if next.server == api {
			listener = lingeringListener{listener, lingerTime}
		}
		server.ports = append(server.ports, &port{
			name: next.name, listener: listener, server: next.server, tls: next.server.TLSConfig != nil,
		})
	}
	return server, nil
}

func (s *Server) newHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
}

// connState passes on the begin and the end of a connection.
func (s *Server) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.config.Connections.ConnectionOpened()
	case http.StateClosed, http.StateHijacked:
		s.config.Connections.ConnectionClosed()
	default:
	}
}

// Address is where a port ("API", "readiness", "metrics") really listens; "" when it
// does not.
func (s *Server) Address(name string) string {
	for _, port := range s.ports {
		if port.name == name {
			return port.listener.Addr().String()
		}
	}
	return ""
}

// readiness answers the probe. It is unready from the moment the server begins to stop.
func (s *Server) readiness(writer http.ResponseWriter, request *http.Request) {
	if request.URL.Path != contract.PathReadiness {
		writer.WriteHeader(http.StatusNotFound)
		return
	}
	err := s.config.Ready()
	if s.leaving.Load() {
		err = errors.New("the server is stopping")
	}
	if err != nil {
		send(writer, http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte(err.Error()+"\n"))
	}
}

// Run serves until ctx is done, and then stops without losing a request: unready at
// once, answering for DrainPeriod, then no new connections, the running requests to their
// end. When hurry is done, too, it does not wait for DrainPeriod.
func (s *Server) Run(ctx, hurry context.Context) error {
	failed := make(chan error, len(s.ports))
	for _, port := range s.ports {
		s.config.Logger.InfoContext(ctx, "listening", "port", port.name, "address", port.listener.Addr().String(), "tls", port.tls)
		go func() { failed <- port.serve() }()
	}
	defer s.close()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.leaving.Store(true)
	s.config.Logger.InfoContext(ctx, "stopping", "drain_period", s.config.DrainPeriod)
	drained := time.NewTimer(s.config.DrainPeriod)
	defer drained.Stop()
	select {
	case err := <-failed:
		return err
	case <-drained.C:
	case <-hurry.Done():
	}
	return s.shutdown()
}

// serve answers until the port is shut down.
func (p *port) serve() error {
	var err error
	if p.tls {
		err = p.server.ServeTLS(p.listener, "", "")
	} else {
		err = p.server.Serve(p.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", p.name, err)
}

// shutdown ends the API port; the probe and the metrics are there until the end.
func (s *Server) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	if err := s.ports[0].server.Shutdown(ctx); err != nil {
		return fmt.Errorf("wait for running requests: %w", err)
	}
	s.config.Logger.Info("stopped")
	return nil
}

func (s *Server) close() {
	for _, port := range s.ports {
		_ = port.server.Close()
		_ = port.listener.Close()
	}
}
