package scan

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// progress knows how far a scan is, in places: namespaces, and the cluster itself. A place in
// which some kinds are done counts for that part of one. How many objects there will be nobody
// knows before they are listed, so an estimate takes all places for equally full.
type progress struct {
	mu     sync.Mutex
	places int
	done   float64
}

// expect says how many places there are.
func (p *progress) expect(places int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places = places
}

// advance adds a part of a place, up to 1.
func (p *progress) advance(part float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += part
}

// estimate says how much is done, from 0 to 1, and how long the rest will take if it goes on as
// before. It is not known before the places are, and before anything is done.
func (p *progress) estimate(elapsed time.Duration) (done float64, remaining time.Duration, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places == 0 || p.done <= 0 {
		return 0, 0, false
	}
	done = min(1, p.done/float64(p.places))
	return done, time.Duration(float64(elapsed) * (1 - done) / done), true
}

// followProgress logs how far the scan is, every while, until it is told to stop.
func (r *run) followProgress(ctx context.Context) (stop func()) {
	if r.config.ProgressEvery <= 0 {
		return func() {}
	}
	began, ended := r.config.Now(), make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		ticker := time.NewTicker(r.config.ProgressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				r.logProgress(ctx, r.config.Now().Sub(began))
			}
		}
	})
	return func() {
		close(ended)
		working.Wait()
	}
}

func (r *run) logProgress(ctx context.Context, elapsed time.Duration) {
	objects := 0
	r.counts.add(func(s *Summary) { objects = s.Objects })
	attrs := []slog.Attr{slog.Int("objects", objects), slog.String("elapsed", elapsed.Round(time.Second).String())}
	if done, remaining, known := r.progress.estimate(elapsed); known {
		attrs = append(attrs, slog.Int("percent", int(done*100)), slog.String("remaining", remaining.Round(time.Second).String()))
	}
	r.config.Log.LogAttrs(ctx, slog.LevelInfo, "audit scan under way", attrs...)
}
