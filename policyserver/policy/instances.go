package policy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// instances hands out instances of one module. Each is pristine: as if it had just been
// made and initialised, whatever was asked of the module before.
type instances interface {
	// take hands out an instance for one call of a trust domain.
	take(ctx context.Context, domain string, session *host.Session) (*sandbox.Instance, error)
	// give takes it back. Its memory is as the guest left it, and after a failed call
	// nothing is known of it at all.
	give(ctx context.Context, domain string, instance *sandbox.Instance, failed error) error
	// bytes is what all instances share, and the budget for modules has.
	bytes() int64
	// close gives back what is held. Nothing is handed out then.
	close(ctx context.Context) error
}

// fresh makes an instance for each call and closes it afterwards.
type fresh struct {
	program *sandbox.Program
	guest   guest
	made    *atomic.Uint64 // counts them
}

var _ instances = fresh{}

func (f fresh) take(ctx context.Context, _ string, session *host.Session) (*sandbox.Instance, error) {
	instance, err := f.program.Instantiate(ctx)
	if err != nil {
		return nil, fmt.Errorf("instantiate module: %w", err)
	}
	f.made.Add(1)
	if err := f.guest.init(ctx, instance, session); err != nil {
		return nil, errors.Join(err, instance.Close(ctx))
	}
	return instance, nil
}

func (f fresh) give(ctx context.Context, _ string, instance *sandbox.Instance, _ error) error {
	return instance.Close(ctx)
}

func (fresh) bytes() int64 { return 0 }

func (fresh) close(context.Context) error { return nil }
