package policyserver

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// demands are the signatures that modules must have, and the trust root of Sigstore that
// identities are verified by, from files that may change.
type demands struct {
	path string
	// trustPath is that of the trust root; "" for the public one.
	trustPath string
	// verification is nil where nothing is demanded.
	verification *contract.Verification
	// trusted is told of every trust root out of the file: policies verify by it what they
	// ask about.
	trusted func(*signature.Trust)
	// content is what was looked at last, good or bad.
	content demandsContent
	log     *slog.Logger
}

// demandsContent is what the files hold.
type demandsContent struct{ verification, trustRoot []byte }

func (c demandsContent) equal(other demandsContent) bool {
	return bytes.Equal(c.verification, other.verification) && bytes.Equal(c.trustRoot, other.trustRoot)
}

// newDemands reads the files for the first time. One that cannot be read, or understood, is
// an error: whoever names it wants unsigned modules kept out.
func newDemands(p *PolicyServer) (*demands, error) {
	d := &demands{path: p.config.Verification, trustPath: p.config.SigstoreTrust, trusted: p.trustInCapabilities, log: p.config.Logger}
	var err error
	if d.content, err = d.read(); err != nil {
		return nil, err
	}
	if d.verification, err = d.decode(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *demands) read() (demandsContent, error) {
	var read demandsContent
	var err error
	if d.path != "" {
		if read.verification, err = os.ReadFile(d.path); err != nil {
			return demandsContent{}, fmt.Errorf("read which signatures modules must have: %w", err)
		}
	}
	if d.trustPath != "" {
		if read.trustRoot, err = os.ReadFile(d.trustPath); err != nil {
			return demandsContent{}, fmt.Errorf("read trust root of Sigstore: %w", err)
		}
	}
	return read, nil
}

// decode understands the files, or neither of them.
func (d *demands) decode() (*contract.Verification, error) {
	var wanted *contract.Verification
	if d.path != "" {
		verification, err := contract.DecodeVerification(d.content.verification)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", d.path, err)
		}
		wanted = &verification
	}
	if d.trustPath == "" {
		return wanted, nil
	}
	trust, err := signature.ParseTrust(d.content.trustRoot)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.trustPath, err)
	}
	if wanted != nil {
		wanted.TrustRoot = d.content.trustRoot
	}
	d.trusted(trust)
	return wanted, nil
}

// paths are the files to watch.
func (d *demands) paths() []string {
	return slices.DeleteFunc([]string{d.path, d.trustPath}, func(path string) bool { return path == "" })
}

// reload says whether other signatures are demanded than before, or whether they are
// verified by another trust root. Files that cannot be understood are logged once; what was
// demanded before is demanded until they are understood again.
func (d *demands) reload() (changed bool, err error) {
	read, err := d.read()
	if err != nil || read.equal(d.content) {
		return false, err
	}
	d.content = read
	verification, err := d.decode()
	if err != nil {
		d.log.Error("ignore changed demands of signatures; those of before stay in force", "error", err)
		return false, nil
	}
	d.verification = verification
	if verification == nil {
		d.log.Info("trust root of Sigstore changed", "path", d.trustPath)
		return false, nil
	}
	d.log.Info("demands of signatures changed", "path", d.path, "all_of", len(verification.AllOf), "any_of", verification.AnyOf != nil)
	return true, nil
}

// trustFor gives the source of the trust root that a verification names; nil where nothing is verified.
func (p *PolicyServer) trustFor(verification *contract.Verification) func() (*signature.Trust, error) {
	switch {
	case verification == nil:
		return nil
	case verification.TrustRoot != nil:
		return sync.OnceValues(func() (*signature.Trust, error) { return signature.ParseTrust(verification.TrustRoot) })
	default:
		return p.publicTrust.Trust
	}
}
