package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// readTimeout bounds how long a client may take to send the head of a request.
const readTimeout = 10 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 1 {
		return fmt.Errorf("unexpected argument %q", os.Args[1])
	}
	policies, err := readPolicies(os.Getenv("KUBEWARDEN_POLICIES"))
	if err != nil {
		return err
	}
	// Modules would go there.
	scratch := filepath.Join(os.Getenv("KUBEWARDEN_POLICIES_DOWNLOAD_DIR"), "standin")
	if err := os.WriteFile(scratch, nil, 0o600); err != nil { //nolint:gosec // whoever starts it says where
		return err
	}
	pair, err := tls.LoadX509KeyPair(os.Getenv("KUBEWARDEN_CERT_FILE"), os.Getenv("KUBEWARDEN_KEY_FILE"))
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr: ":" + os.Getenv("KUBEWARDEN_PORT"), Handler: newHandler(policies), ReadHeaderTimeout: readTimeout,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	readiness := http.NewServeMux()
	readiness.HandleFunc("GET /readiness", func(http.ResponseWriter, *http.Request) {})
	probe := &http.Server{Addr: ":" + os.Getenv("KUBEWARDEN_READINESS_PROBE_PORT"), Handler: readiness, ReadHeaderTimeout: readTimeout}
	fmt.Println("serving", len(policies), "policies")
	ended := make(chan error, 2)
	go func() { ended <- server.ListenAndServeTLS("", "") }()
	go func() { ended <- probe.ListenAndServe() }()
	return errors.Join(errors.New("a server ended"), <-ended)
}
