package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// stopper is a cluster that can be stopped and started again.
type stopper interface {
	// Stop ends what the names say, without names everything, and keeps what is on disk.
	Stop(ctx context.Context, names ...string) error
	// Start starts what does not run, with these feature gates of the API server, and changes
	// nothing in the cluster.
	Start(ctx context.Context, featureGates string) error
}

var _ stopper = (*local)(nil)

func asStopper(target cluster) (stopper, error) {
	if able, is := target.(stopper); is {
		return able, nil
	}
	return nil, errors.New("only CLUSTER=local can be stopped and started")
}

func stopCommand() *cobra.Command {
	var names []string
	cmd := lifeCommand("stop [COMPONENT...]", "Stop the cluster as a loss of power does, or some of its components; keeps what is on disk", func(target cluster, ctx context.Context) error {
		able, err := asStopper(target)
		if err != nil {
			return err
		}
		return able.Stop(ctx, names...)
	})
	cmd.Args = func(_ *cobra.Command, args []string) error {
		names = args
		return nil
	}
	return cmd
}

func startCommand() *cobra.Command {
	var featureGates string
	cmd := lifeCommand("start", "Start what `stop` has stopped; installs nothing", func(target cluster, ctx context.Context) error {
		able, err := asStopper(target)
		if err != nil {
			return err
		}
		return able.Start(ctx, featureGates)
	})
	cmd.Flags().StringVar(&featureGates, "feature-gates", "", "feature gates of the API server, NAME=true|false, separated by commas; until it is stopped again")
	return cmd
}

// Stop implements stopper.
func (c *local) Stop(ctx context.Context, names ...string) error {
	if err := needRoot(); err != nil {
		return err
	}
	if len(names) > 0 {
		return c.layout.StopComponents(ctx, names...)
	}
	return c.progress.Step("stop the cluster", func() error { return c.layout.Stop(ctx) })
}

// Start implements stopper.
func (c *local) Start(ctx context.Context, featureGates string) error {
	if err := needRoot(); err != nil {
		return err
	}
	if err := c.layout.Adopt(); err != nil {
		return err
	}
	server, _, err := c.node(ctx)
	if err != nil {
		return err
	}
	server.FeatureGates = featureGates
	return server.Start(ctx)
}
