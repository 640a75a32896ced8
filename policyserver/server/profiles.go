package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

// Paths of profiles; upstream's (policy-server: api/handlers.rs).
const (
	pathCPUProfile  = "/debug/pprof/cpu"
	pathHeapProfile = "/debug/pprof/heap"
)

// What a CPU profile is without parameters, and at most. The time is bounded since a
// profile costs every request a little.
const (
	defaultProfileSeconds = 30
	maxProfileSeconds     = 300
	maxProfileFrequency   = 1000
)

// profiles serves profiles of this process in the format of pprof.
type profiles struct {
	next http.Handler
	// profiling is locked while a CPU profile is being made: there can be one at a time.
	profiling sync.Mutex
	// wait returns after a while, or when the context ends.
	wait func(ctx context.Context, duration time.Duration)
}

// WithProfiles adds the paths of profiles to a handler. They are for whoever may ask for
// verdicts, so they are only there when somebody wants them. A profile that is being made
// ends when stopping is closed: the end of a server does not wait for it.
func WithProfiles(next http.Handler, stopping <-chan struct{}) http.Handler {
	return &profiles{next: next, wait: func(ctx context.Context, duration time.Duration) { wait(ctx, stopping, duration) }}
}

// ServeHTTP answers a request.
func (p *profiles) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	serve := p.heap
	switch request.URL.Path {
	case pathCPUProfile:
		serve = p.cpu
	case pathHeapProfile:
	default:
		p.next.ServeHTTP(writer, request)
		return
	}
	if request.Method != http.MethodGet {
		writer.Header().Set("Allow", http.MethodGet)
		writer.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	serve(writer, request)
}

// cpu watches the processor for a while. The frequency is checked and does not count: Go
// looks a hundred times a second.
func (p *profiles) cpu(writer http.ResponseWriter, request *http.Request) {
	seconds, err := parameter(request, "interval", defaultProfileSeconds, maxProfileSeconds)
	if err == nil {
		_, err = parameter(request, "frequency", 1, maxProfileFrequency)
	}
	if err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	if !p.profiling.TryLock() {
		http.Error(writer, "a CPU profile is being made already", http.StatusInternalServerError)
		return
	}
	defer p.profiling.Unlock()
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	p.wait(request.Context(), time.Duration(seconds)*time.Second)
	pprof.StopCPUProfile()
	sendProfile(writer, "cpu_profile", profile.Bytes())
}

// wait returns early when nobody waits for the profile any more, or the server stops.
func wait(ctx context.Context, stopping <-chan struct{}, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-stopping:
	}
}

func (p *profiles) heap(writer http.ResponseWriter, _ *http.Request) {
	var profile bytes.Buffer
	if err := pprof.Lookup("heap").WriteTo(&profile, 0); err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	sendProfile(writer, "heap_profile", profile.Bytes())
}

// parameter reads a number of the query.
func parameter(request *http.Request, name string, otherwise, most int) (int, error) {
	text := request.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 || number > most {
		return 0, fmt.Errorf("%s is %q; allowed are whole numbers from 1 to %d", name, text, most)
	}
	return number, nil
}

func sendProfile(writer http.ResponseWriter, name string, profile []byte) {
	writer.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	writer.Header().Set("Content-Length", strconv.Itoa(len(profile)))
	send(writer, http.StatusOK, "application/octet-stream", profile)
}
