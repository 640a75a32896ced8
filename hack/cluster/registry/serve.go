package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
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

// Serve answers until the context ends.
func Serve(ctx context.Context, config Config) error {
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return err
	}
	handler := registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(config.Dir)),
		registry.Logger(log.New(os.Stderr, "", log.LstdFlags)),
	)
	server := &http.Server{
		Addr:              config.Address,
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
	}
	stop := context.AfterFunc(ctx, func() {
		_ = server.Close() // pushes are retried by their client
	})
	defer stop()
	if err := server.ListenAndServeTLS(config.CertFile, config.KeyFile); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve registry on %s: %w", config.Address, err)
	}
	return nil
}
