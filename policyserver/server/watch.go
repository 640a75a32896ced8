package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watch is a set of files that somebody wants to know changes of.
type Watch struct {
	// Paths are the files. What is watched are their folders: Kubernetes changes the
	// files of a volume by turning a symbolic link in the folder to another place, which
	// no watch on a file would see.
	Paths []string
	// Changed is called when something may have changed: at the beginning, after an event,
	// and now and then in any case. When it fails it is called again soon.
	Changed func() error
	// Poll is the time between calls without an event, Settle the time to wait after an
	// event for others that belong to it, and Retry that after a failure. Each has a
	// default.
	Poll, Settle, Retry time.Duration
	Logger              *slog.Logger
}

// Run watches until ctx is done.
func (w Watch) Run(ctx context.Context) {
	w.Poll = orDefault(w.Poll, 10*time.Second)
	w.Settle = orDefault(w.Settle, 100*time.Millisecond)
	w.Retry = orDefault(w.Retry, time.Second)
	events, stop := w.events(ctx)
	defer stop()
	timer := time.NewTimer(w.Settle) // what changed before there was a watch
	defer timer.Stop()
	settling := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if !settling { // in a busy folder there may be no end of events
				settling = true
				timer.Reset(w.Settle)
			}
		case <-timer.C:
			settling = false
			if err := w.Changed(); err != nil {
				w.Logger.WarnContext(ctx, "take up changed files", "paths", w.Paths, "error", err)
				timer.Reset(w.Retry)
			} else {
				timer.Reset(w.Poll)
			}
		}
	}
}

func orDefault(given, otherwise time.Duration) time.Duration {
	if given == 0 {
		return otherwise
	}
	return given
}

// events gives something to read from per change in one of the folders. Without a watch,
// of which a machine has only so many, the files are still polled.
func (w Watch) events(ctx context.Context) (<-chan struct{}, func()) {
	changes := make(chan struct{})
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		w.Logger.WarnContext(ctx, "watch files; going on with polling", "error", err)
		return changes, func() {}
	}
	var folders []string
	for _, path := range w.Paths {
		if folder := filepath.Dir(path); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	for _, folder := range folders {
		if err := watcher.Add(folder); err != nil {
			w.Logger.WarnContext(ctx, "watch folder; going on with polling", "folder", folder, "error", err)
		}
	}
	go forward(ctx, watcher, changes)
	return changes, func() { _ = watcher.Close() }
}

// forward tells of each event until the watcher is closed.
func forward(ctx context.Context, watcher *fsnotify.Watcher, changes chan<- struct{}) {
	for {
		select {
		case _, open := <-watcher.Events:
			if !open {
				return
			}
			select {
			case changes <- struct{}{}:
			case <-ctx.Done():
			}
		case _, open := <-watcher.Errors: // events were lost, perhaps; the poll finds out
			if !open {
				return
			}
		}
	}
}
