package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cachedBoots is how often a server is started with a filled folder.
const cachedBoots = 5

// bootSummary is how long a server took from the start of its process until it was ready, in
// milliseconds.
type bootSummary struct {
	// Cold is with an empty folder: modules are read, compiled, and stored.
	Cold float64 `json:"cold_ms"`
	// Cached is the median of starts with the folder of the cold one, which are Each.
	Cached float64   `json:"cached_ms"`
	Each   []float64 `json:"cached_each_ms"`
}

// boot starts a server with an empty folder, then again and again with what that one has
// stored. The last one runs on.
func boot(ctx context.Context, config serverConfig) (*server, *bootSummary, error) {
	if err := os.RemoveAll(filepath.Join(config.dir, storeFolder)); err != nil {
		return nil, nil, fmt.Errorf("empty the store: %w", err)
	}
	running, err := startServer(ctx, config)
	if err != nil {
		return nil, nil, fmt.Errorf("cold start: %w", err)
	}
	summary := &bootSummary{Cold: milliseconds(running.readyAfter)}
	var cached []time.Duration
	for range cachedBoots {
		if err := running.stop(); err != nil {
			return nil, nil, err
		}
		if running, err = startServer(ctx, config); err != nil {
			return nil, nil, fmt.Errorf("start with a filled store: %w", err)
		}
		cached = append(cached, running.readyAfter)
		summary.Each = append(summary.Each, milliseconds(running.readyAfter))
	}
	summary.Cached = milliseconds(median(cached))
	return running, summary, nil
}
