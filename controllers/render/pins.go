package render

import (
	"maps"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// A tag can be moved, and then replicas that resolve it at different times would serve
// different code. So the digest that one of them found is written into the entry, where all
// of them find it, until the URL or the refresh annotation of the policy changes.

// CarryPins gives an entry with those digests of its former self that still hold: of modules
// whose URL is the same, unless the user asked for tags to be resolved again, or the former
// entry was that of another policy of the same name.
func CarryPins(entry, former contract.Entry) contract.Entry {
	if entry.UID != former.UID || entry.Refresh != former.Refresh || entry.IsGroup() != former.IsGroup() {
		return entry
	}
	if !entry.IsGroup() {
		if entry.Module == former.Module && entry.ModuleDigest == "" {
			entry.ModuleDigest = former.ModuleDigest
		}
		return entry
	}
	entry.Policies = maps.Clone(entry.Policies)
	for name, member := range entry.Policies {
		if before := former.Policies[name]; member.Module == before.Module && member.ModuleDigest == "" {
			member.ModuleDigest = before.ModuleDigest
			entry.Policies[name] = member
		}
	}
	return entry
}

// Unpinned says whether an entry has a module that may be pinned and is not.
func Unpinned(entry contract.Entry) bool {
	if !entry.IsGroup() {
		return entry.ModuleDigest == "" && pinnable(entry.Module)
	}
	for _, member := range entry.Policies {
		if member.ModuleDigest == "" && pinnable(member.Module) {
			return true
		}
	}
	return false
}

// Pin gives an entry that pins those of its modules that it did not pin before. Digests are
// by the name of the member; that of a policy has the name "".
func Pin(entry contract.Entry, digests map[string]string) contract.Entry {
	if !entry.IsGroup() {
		if Unpinned(entry) {
			entry.ModuleDigest = digests[""]
		}
		return entry
	}
	entry.Policies = maps.Clone(entry.Policies)
	for name, member := range entry.Policies {
		if member.ModuleDigest == "" && pinnable(member.Module) {
			member.ModuleDigest = digests[name]
			entry.Policies[name] = member
		}
	}
	return entry
}

// pinnable says whether a module can still be had once its URL stands for another one. A
// registry gives any module that it has by its digest. Anything else gives only what is
// there now, and a new replica that may not take that would serve nothing at all.
func pinnable(moduleURL string) bool {
	scheme, _, found := strings.Cut(moduleURL, "://")
	return !found || scheme == "registry"
}
