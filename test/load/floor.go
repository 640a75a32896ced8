package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

// floorCommand is the argument by which this program serves as the floor: what a whole
// request costs without a policy.
const floorCommand = "floor"

// startFloor starts this program as a floor, as a child like a policy server is one.
func startFloor(ctx context.Context, dir string, log io.Writer) (*server, error) {
	dir = filepath.Join(dir, floorCommand)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for the floor: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	s, err := newServer(ctx, dir)
	if err != nil {
		return nil, err
	}
	return s, s.start(ctx, log, program, floorCommand, dir, s.api, s.readiness)
}

// serveFloor serves until ctx is done. The arguments are a folder with a certificate, and two
// addresses: that of requests, and that of the probe.
func serveFloor(ctx context.Context, arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("%s takes a folder and two addresses, got %d arguments", floorCommand, len(arguments))
	}
	dir := arguments[0]
	api := &http.Server{Handler: http.HandlerFunc(answerFloor), ReadHeaderTimeout: requestTimeout}
	probe := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: requestTimeout}
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
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(api.Shutdown(stopping), probe.Shutdown(stopping))
}

// answerFloor reads a request and accepts it, with as little as a client asks for: its UID.
func answerFloor(w http.ResponseWriter, request *http.Request) {
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

// withoutPolicies are the same requests, of which the floor accepts each.
func withoutPolicies(fixtures []fixture) []fixture {
	accepted := make([]fixture, 0, len(fixtures))
	for _, of := range fixtures {
		cases := make([]testCase, 0, len(of.cases))
		for _, one := range of.cases {
			cases = append(cases, testCase{one.review, allowed})
		}
		accepted = append(accepted, fixture{id: of.id, module: of.module, settings: of.settings, cases: cases})
	}
	return accepted
}
