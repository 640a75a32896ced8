package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// startFloor starts this program as a floor, as a child like a policy server is one.
func startFloor(ctx context.Context, dir string, log io.Writer) (*server, error) {
	dir = filepath.Join(dir, floor.Command)
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
	return s, s.start(ctx, log, program, floor.Command, dir, s.api, s.readiness)
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
