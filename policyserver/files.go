package policyserver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

// Files are where the configuration of a server is that runs without an operator.
type Files struct {
	// Policies is the path of policies.yml.
	Policies string
	// Sources is the path of sources.yml; "" for none.
	Sources string
}

// fileSource takes up the files when they change.
type fileSource struct {
	files Files
	apply func(evaluation.Wanted)
	log   *slog.Logger
	// content is what was looked at last, good or bad.
	content content
	demands *demands
}

var _ source = (*fileSource)(nil)

// newFileSource reads the files for the first time.
func newFileSource(p *PolicyServer) (*fileSource, error) {
	s := &fileSource{files: *p.config.Files, apply: p.loader.Apply, log: p.config.Logger}
	var err error
	if s.demands, err = newDemands(p); err != nil {
		return nil, err
	}
	if s.content, err = s.read(); err != nil {
		return nil, err
	}
	wanted, err := s.decode()
	if err != nil {
		return nil, err
	}
	if err := p.newFetcher(wanted.Sources, nil).CheckSources(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.files.Sources, err)
	}
	s.apply(wanted)
	return s, nil
}

// content is what the files hold.
type content struct{ policies, sources []byte }

func (c content) equal(other content) bool {
	return bytes.Equal(c.policies, other.policies) && bytes.Equal(c.sources, other.sources)
}

func (s *fileSource) read() (content, error) {
	var read content
	var err error
	if read.policies, err = os.ReadFile(s.files.Policies); err != nil {
		return content{}, fmt.Errorf("read policies: %w", err)
	}
	if s.files.Sources == "" {
		return read, nil
	}
	if read.sources, err = os.ReadFile(s.files.Sources); err != nil {
		return content{}, fmt.Errorf("read sources: %w", err)
	}
	return read, nil
}

func (s *fileSource) decode() (evaluation.Wanted, error) {
	wanted, err := decode(s.content.policies, s.content.sources)
	if err != nil {
		return evaluation.Wanted{}, fmt.Errorf("read %s: %w", strings.TrimSpace(s.files.Policies+" "+s.files.Sources), err)
	}
	wanted.Verification = s.demands.verification
	return wanted, nil
}

func (s *fileSource) run(ctx context.Context) {
	paths := []string{s.files.Policies}
	if s.files.Sources != "" {
		paths = append(paths, s.files.Sources)
	}
	server.Watch{Paths: append(paths, s.demands.paths()...), Changed: s.reload, Logger: s.log}.Run(ctx)
}

// reload takes up what changed. Files that cannot be understood are logged once; what was
// wanted before is served until they are understood again.
func (s *fileSource) reload() error {
	read, err := s.read()
	if err != nil {
		return err
	}
	others, err := s.demands.reload()
	if err != nil || read.equal(s.content) && !others {
		return err
	}
	s.content = read
	wanted, err := s.decode()
	if err != nil {
		s.log.Error("ignore changed configuration", "error", err)
		return nil
	}
	s.log.Info("configuration changed", "policies", len(wanted.Policies), "refused", len(wanted.Refused))
	s.apply(wanted)
	return nil
}

func (s *fileSource) changed() {}

func (s *fileSource) ready() error { return nil }
