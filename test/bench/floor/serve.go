package floor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

// Command is the argument by which a program that measures serves as the floor, in a process
// that it starts for that: it has to hand the arguments that follow to Serve.
const Command = "floor"

// stopTimeout is how long requests may take that are under way in the end. A connection that is
// left open takes a second by itself.
const stopTimeout = 5 * time.Second

// Serve serves until ctx is done. The arguments are a folder with a certificate
// (child.WriteCertificate), and two addresses: that of requests, and that of a probe, which
// says that the floor is ready.
func Serve(ctx context.Context, arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("%s takes a folder and two addresses, got %d arguments", Command, len(arguments))
	}
	dir := arguments[0]
	api := &http.Server{Handler: http.HandlerFunc(accept), ReadHeaderTimeout: RequestTimeout}
	probe := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: RequestTimeout}
	var listeners []net.Listener
	for _, address := range arguments[1:] {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listen as the floor: %w", err)
		}
		listeners = append(listeners, listener)
	}
	ended := make(chan error, 2)
	go func() {
		ended <- api.ServeTLS(listeners[0], filepath.Join(dir, child.CertificateFile), filepath.Join(dir, child.KeyFile))
	}()
	go func() { ended <- probe.Serve(listeners[1]) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the floor: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(api.Shutdown(stopping), probe.Shutdown(stopping))
}

// accept reads a request and accepts it, with as little as a client asks for: its UID.
func accept(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, after, _ := bytes.Cut(body, []byte(`"uid":"`))
	uid, _, found := bytes.Cut(after, []byte(`"`))
	if !found {
		http.Error(w, "there is no uid", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := make([]byte, 0, 64+len(uid))
	answer = append(answer, `{"response":{"uid":"`...)
	answer = append(answer, uid...)
	_, _ = w.Write(append(answer, `","allowed":true}}`...))
}
