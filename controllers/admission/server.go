package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// The files of a certificate, as OLM, cert-manager and upstream name them.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
)

// certificatePoll is how often the server looks for a certificate that is not there yet.
const certificatePoll = 2 * time.Second

// Server answers the API server about our kinds. It runs on every replica of the operator,
// the leader or not.
type Server struct {
	// Scheme knows our kinds.
	Scheme *runtime.Scheme
	// CertificateFolder is where the certificate is, or will be. Its files are read again
	// when they change.
	CertificateFolder string
	// Certificate finds the certificate for a handshake where the folder does not exist: OLM
	// or cert-manager would have mounted it. With nil, nothing is served then.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Settings has settings checked by modules; nil does not.
	Settings SettingsChecker
	// Port is where the API server calls.
	Port int
	// Logger takes what becomes of it.
	Logger logr.Logger
}

var (
	_ manager.Runnable               = (*Server)(nil)
	_ manager.LeaderElectionRunnable = (*Server)(nil)
)

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *Server) NeedLeaderElection() bool { return false }

// IsMounted says whether somebody mounts a certificate into a folder, though it may not be
// there yet.
func IsMounted(folder string) bool {
	_, err := os.Stat(folder)
	return !errors.Is(err, fs.ErrNotExist)
}

// Start answers until ctx ends, from the moment when there is a certificate. Nobody waits
// for it, and nothing stops when it cannot: the reconcilers hold the rules by themselves.
func (s *Server) Start(ctx context.Context) error {
	log := s.Logger.WithValues("folder", s.CertificateFolder)
	options := webhook.Options{Port: s.Port}
	switch {
	case IsMounted(s.CertificateFolder):
		if !s.certificateComes(ctx) {
			return nil
		}
		options.CertDir, options.CertName, options.KeyName = s.CertificateFolder, certificateFile, keyFile
		log.Info("The API server can ask for checks of policies, with the certificate that is mounted")
	case s.Certificate != nil:
		options.TLSOpts = []func(*tls.Config){func(config *tls.Config) { config.GetCertificate = s.Certificate }}
		log.Info("The API server can ask for checks of policies, with a certificate of the operator's own, since none is mounted")
	default:
		log.Info("The API server does not ask for checks of policies: no certificate is mounted")
		return nil
	}
	server := webhook.NewServer(options)
	for path, handler := range Handlers(s.Scheme, s.Settings) {
		server.Register(path, handler)
	}
	if err := server.Start(ctx); err != nil {
		log.Error(err, "The API server cannot ask for checks of policies any more")
	}
	return nil
}

// certificateComes waits for a certificate; false means that the operator stops before.
func (s *Server) certificateComes(ctx context.Context) bool {
	return wait.PollUntilContextCancel(ctx, certificatePoll, true, func(context.Context) (bool, error) {
		for _, name := range []string{certificateFile, keyFile} {
			if _, err := os.Stat(filepath.Join(s.CertificateFolder, name)); err != nil {
				return false, nil //nolint:nilerr // not there yet, for whatever reason
			}
		}
		return true, nil
	}) == nil
}
