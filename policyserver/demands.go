package policyserver

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// demands are the signatures that modules must have, from a file that may change.
type demands struct {
	path string
	// verification is nil where nothing is demanded.
	verification *contract.Verification
	// content is what was looked at last, good or bad.
	content []byte
	log     *slog.Logger
}

// newDemands reads the file for the first time. One that cannot be read, or understood, is
// an error: whoever names it wants unsigned modules kept out.
func newDemands(config Config) (*demands, error) {
	d := &demands{path: config.Verification, log: config.Logger}
	if d.path == "" {
		return d, nil
	}
	content, err := os.ReadFile(d.path)
	if err != nil {
		return nil, fmt.Errorf("read which signatures modules must have: %w", err)
	}
	verification, err := contract.DecodeVerification(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.path, err)
	}
	d.content, d.verification = content, &verification
	return d, nil
}

// paths are the files to watch.
func (d *demands) paths() []string {
	if d.path == "" {
		return nil
	}
	return []string{d.path}
}

// reload says whether other signatures are demanded than before. A file that cannot be
// understood is logged once; what was demanded before is demanded until it is understood
// again.
func (d *demands) reload() (changed bool, err error) {
	if d.path == "" {
		return false, nil
	}
	content, err := os.ReadFile(d.path)
	if err != nil || bytes.Equal(content, d.content) {
		return false, err
	}
	d.content = content
	verification, err := contract.DecodeVerification(content)
	if err != nil {
		d.log.Error("ignore changed demands of signatures; those of before stay in force", "path", d.path, "error", err)
		return false, nil
	}
	d.log.Info("demands of signatures changed", "path", d.path, "all_of", len(verification.AllOf), "any_of", verification.AnyOf != nil)
	d.verification = &verification
	return true, nil
}
