//go:build integration

package simulator

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewarden/kubewarden-operator/controllers"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// StartOperator runs the operator with the rights of its own ServiceAccount. TEST_LOG=1
// shows what it logs.
func (c *Cluster) StartOperator() error {
	logger := c.Logger
	if os.Getenv("TEST_LOG") != "" {
		logger = logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctrl.SetLogger(logger)
	c.Registry = prometheus.NewRegistry()
	config := c.As(ServiceAccount)
	c.lifeline = &lifeline{}
	config.Wrap(c.lifeline.wrap)
	if c.Wrap != nil {
		config.Wrap(c.Wrap)
	}
	manager, err := controllers.NewManager(c.ctx, config, controllers.Config{
		Render: render.Config{
			Namespace:      Namespace,
			ServiceAccount: ServiceAccount,
			Image:          OperatorImage,
		},
		MetricsAddress: "0",
		ProbeAddress:   "0",
		LeaderElection: !c.Alone,

		WebhookCertificateFolder: c.WebhookFolder,
		WebhookPort:              c.WebhookPort,

		Logger:   logger,
		Registry: c.Registry,
		Now:      c.clock(),
	})
	if err != nil {
		return err
	}
	c.operator = c.run(manager.Start)
	return nil
}

func (c *Cluster) clock() func() time.Time {
	if c.Now == nil {
		return time.Now
	}
	return c.Now
}

// Runs says whether the operator runs.
func (c *Cluster) Runs() bool { return c.operator != nil }

// StopOperator ends the operator as a signal would: it finishes what it has begun.
func (c *Cluster) StopOperator() error {
	stop := c.operator
	c.operator = nil
	return stop()
}

// KillOperator ends the operator as a power cut would: from now on, not one request of it
// reaches the API server.
func (c *Cluster) KillOperator() {
	c.lifeline.cut.Store(true)
	// It ends with an error, for nothing that it does succeeds any more.
	_ = c.StopOperator()
}

// lifeline is the connection of the operator to the API server.
type lifeline struct{ cut atomic.Bool }

func (l *lifeline) wrap(transport http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if l.cut.Load() {
			return nil, errors.New("the operator has been killed")
		}
		return transport.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }
