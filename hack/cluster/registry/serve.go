package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Config is how the registry is served.
type Config struct {
	// Address is host:port to listen on.
	Address string
	// Dir keeps the blobs, and is made if need be; manifests live as long as the process.
	Dir string
	// CertFile and KeyFile are the server's certificate.
	CertFile, KeyFile string
}

// Signals to a process that serves a registry. Between the two nothing listens at its
// address, so that connections are refused; what was pushed stays.
const (
	Leave  = syscall.SIGUSR1
	Return = syscall.SIGUSR2
)

// Serve answers until the context ends, except while it was told to leave.
func Serve(ctx context.Context, config Config) error {
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, Leave, Return)
	defer signal.Stop(signals)
	handler := registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(config.Dir)),
		registry.Logger(log.New(os.Stderr, "", log.LstdFlags)),
	)
	for {
		if err := serveUntilLeave(ctx, signals, config, handler); err != nil || ctx.Err() != nil {
			return err
		}
		for received := os.Signal(Leave); received != Return; {
			select {
			case <-ctx.Done():
				return nil
			case received = <-signals:
			}
		}
	}
}

// serveUntilLeave answers until the context ends or the signal to leave comes.
func serveUntilLeave(ctx context.Context, signals <-chan os.Signal, config Config, handler http.Handler) error {
	server := &http.Server{
		Addr:              config.Address,
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServeTLS(config.CertFile, config.KeyFile) }()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("serve registry on %s: %w", config.Address, err)
		case received := <-signals:
			if received != Leave {
				continue
			}
		case <-ctx.Done():
		}
		_ = server.Close() // pushes are retried by their client
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve registry on %s: %w", config.Address, err)
		}
		return nil
	}
}
