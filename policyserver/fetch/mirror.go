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

// askMirrored asks the mirrors of a repository, in their order, and then its registry. A mirror
// that does not give what is asked for, for whatever reason, is passed over: nothing that it
// gives is believed that would not be believed of the registry. What is given comes with the
// reference under which it was found.
func askMirrored[T any](ctx context.Context, c *Client, target name.Reference, do errand[T]) (found T, from string, err error) {
	var nothing T
	mirrors := c.config.Sources.Mirrors.Of(target.Context().Name())
	var passed []string
	for i, mirror := range mirrors {
		reference := mirror + separator(target) + target.Identifier()
		if !strings.Contains(mirror, "/") {
			passed = append(passed, mirror+": it stands for a repository and has no path")
			continue
		}
		part, cancel := share(ctx, len(mirrors)-i+1)
		found, err := asked(part, c, reference, do)
		cancel()
		if err == nil {
			return found, reference, nil
		}
		if ctx.Err() != nil {
			return nothing, "", err
		}
		c.config.Logger.WarnContext(ctx, "mirror passed over", "artefact", target.String(), "mirror", reference, "error", err)
		passed = append(passed, fmt.Sprintf("%s: %.*s", mirror, maxMirrorText, err.Error()))
	}
	found, err = asked(ctx, c, target.String(), do)
	if err != nil && len(mirrors) > 0 {
		err = fmt.Errorf("%w; mirrors: %s", err, strings.Join(passed, "; "))
	}
	if err != nil {
		return nothing, "", err
	}
	return found, target.String(), nil
}

// share is for asking one of several places, in its share of the time that is left: one that
// hangs must leave time for the others.
func share(ctx context.Context, places int) (context.Context, context.CancelFunc) {
	deadline, found := ctx.Deadline()
	if !found {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(places))
}

func separator(target name.Reference) string {
	if _, is := target.(name.Digest); is {
		return "@"
	}
	return ":"
}
