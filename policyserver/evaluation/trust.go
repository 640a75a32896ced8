package evaluation

import (
	"context"
	"reflect"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Which signatures are demanded may change while a module serves that was verified by the
// demands of before, or by none. Such a module is unproven: it is verified again, as if it
// were new, and while it is, it serves on; when that fails, for whatever reason, it serves no
// longer.

// supply is where modules come from under one configuration.
type supply struct {
	sources      string
	verification *contract.Verification
	fetcher      Fetcher
	// trust numbers the verifications that were wanted one after the other, so that what was
	// proven under one counts for nothing under the next; noTrust demands no signatures.
	trust int
}

const noTrust = 0

// proves says whether a revision that serves may go on to serve without being verified
// again. Nothing is proven enough.
func (s supply) proves(served *servedPolicy) bool {
	return served == nil || s.trust == noTrust || served.trust == s.trust
}

// adoptSupply says whether it changed where modules come from.
func (l *Loader) adoptSupply(wanted Wanted) bool {
	encoded, err := contract.EncodeSources(wanted.Sources)
	same := reflect.DeepEqual(l.supply.verification, wanted.Verification)
	if err == nil && l.supply.fetcher != nil && l.supply.sources == string(encoded) && same {
		return false
	}
	l.supply.sources, l.supply.fetcher = string(encoded), l.config.FetcherFor(wanted.Sources, wanted.Verification)
	if !same {
		l.supply.verification, l.supply.trust = wanted.Verification, noTrust
		if wanted.Verification != nil {
			l.trusts++
			l.supply.trust = l.trusts
		}
	}
	return true
}

// prove has the modules of an unproven revision verified where they came from.
func (l *Loader) prove(ctx context.Context, next *job) bool {
	if next.unproven == nil || ctx.Err() != nil {
		return false
	}
	for _, guest := range next.unproven.guests() {
		from := guest.from
		from.pinned, from.trust = guest.module.digest, next.from.trust
		module, err := l.modules.get(ctx, from, next.from.fetcher)
		if err != nil {
			l.config.Logger.WarnContext(ctx, "earlier revision serves no longer", "policy_id", next.id,
				"revision", next.unproven.revision, "module", from.url, "reason", reasonOf(err), "cause", messageOf(err))
			return false
		}
		module.release()
	}
	return true
}
