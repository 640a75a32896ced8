package floor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/child"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

const (
	// ReviewBytes is about how large the requests are that figures are about.
	ReviewBytes = 5_000
	// Reference is what such a request costs client and server together on the reference
	// machine: processor time of its two processors, which share the work.
	Reference = 87 * time.Microsecond
	// asking is how many requests are under way at once.
	asking = 16
)

// Cost is what some requests took of processors.
type Cost struct {
	Requests int64
	// Client and Server are the time of the two processes, in user and kernel mode.
	Client, Server time.Duration
	// Took is how long it was by the clock.
	Took time.Duration
}

// Each is what a request took of processors, client and server together; 0 for no request.
func (c Cost) Each() time.Duration {
	return (c.Client + c.Server) / time.Duration(max(c.Requests, 1))
}

// Add is what both took together.
func (c Cost) Add(other Cost) Cost {
	return Cost{c.Requests + other.Requests, c.Client + other.Client, c.Server + other.Server, c.Took + other.Took}
}

// Measure asks a floor that runs as a process for a while, as fast as it answers. This process
// is the client, and should have nothing else to do meanwhile.
func (c *Client) Measure(ctx context.Context, pid int, while time.Duration) (Cost, error) {
	of := guests.All()[0]
	before, after := of.Around(string(of.Request(ReviewBytes)))
	ask := func() error {
		answer, err := c.Ask(ctx, contract.PathValidate+Command, func(uid string) []byte { return []byte(before + uid + after) })
		if err == nil && !answer.Allowed {
			err = fmt.Errorf("the floor answers %+v", answer)
		}
		return err
	}
	// The connection is made once, and not by each of those who ask.
	if err := ask(); err != nil {
		return Cost{}, err
	}
	own, server, err := usage(pid)
	if err != nil {
		return Cost{}, err
	}
	var requests atomic.Int64
	var work errgroup.Group
	started := time.Now()
	for range asking {
		work.Go(func() error {
			for time.Since(started) < while {
				if err := ask(); err != nil {
					return err
				}
				requests.Add(1)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return Cost{}, err
	}
	took := time.Since(started)
	ownAfter, serverAfter, err := usage(pid)
	return Cost{requests.Load(), ownAfter - own, serverAfter - server, took}, err
}

// usage is what this process and another have used of processors.
func usage(pid int) (own, other time.Duration, err error) {
	own, ownErr := child.OwnCPU()
	other, err = child.CPU(pid)
	return own, other, errors.Join(ownErr, err)
}
