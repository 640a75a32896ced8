package fetch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// maxMirrorText bounds what is said of one mirror in an error, in bytes.
const maxMirrorText = 120

// fetchMirrored asks the mirrors of a repository, in their order, and then its registry. A
// mirror that does not give the module, for whatever reason, is passed over: nothing that it
// gives is believed that would not be believed of the registry.
func (c *Client) fetchMirrored(ctx context.Context, target name.Reference, digest string) ([]byte, error) {
	mirrors := c.config.Sources.Mirrors.Of(target.Context().Name())
	var passed []string
	for i, mirror := range mirrors {
		reference := mirror + separator(target) + target.Identifier()
		if !strings.Contains(mirror, "/") {
			passed = append(passed, mirror+": it stands for a repository and has no path")
			continue
		}
		module, err := c.fetchShare(ctx, reference, digest, len(mirrors)-i+1)
		if err == nil {
			c.config.Logger.InfoContext(ctx, "module fetched", "module", target.String(), "from", reference)
			return module, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		c.config.Logger.WarnContext(ctx, "mirror passed over", "module", target.String(), "mirror", reference, "error", err)
		passed = append(passed, fmt.Sprintf("%s: %.*s", mirror, maxMirrorText, err.Error()))
	}
	module, err := c.fetchReference(ctx, target.String(), digest)
	if len(mirrors) == 0 {
		return module, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w; mirrors: %s", err, strings.Join(passed, "; "))
	}
	c.config.Logger.InfoContext(ctx, "module fetched", "module", target.String(), "from", target.String())
	return module, nil
}

// fetchShare asks one of several places, in its share of the time that is left: one that
// hangs must leave time for the others.
func (c *Client) fetchShare(ctx context.Context, reference, digest string, places int) ([]byte, error) {
	if deadline, found := ctx.Deadline(); found {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(places))
		defer cancel()
	}
	module, err := c.fetchReference(ctx, reference, digest)
	if err != nil {
		return nil, err
	}
	return module, check(module, digest)
}

func separator(target name.Reference) string {
	if _, is := target.(name.Digest); is {
		return "@"
	}
	return ":"
}
