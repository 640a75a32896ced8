package evaluation

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// rulesOf is what an entry says about verdicts. The message of a group is part of its
// verdict already.
func rulesOf(id string, entry contract.Entry) Rules {
	rules := Rules{PolicyID: id, Mode: entry.PolicyMode}
	if rules.Mode == "" {
		rules.Mode = contract.ModeProtect
	}
	if entry.IsGroup() {
		return rules
	}
	rules.Message = entry.Message
	rules.AllowedToMutate = entry.AllowedToMutate != nil && *entry.AllowedToMutate
	return rules
}

// ownMember is what a policy and a member of a group have in common.
func ownMember(entry contract.Entry) contract.Member {
	return contract.Member{
		Module: entry.Module, ModuleDigest: entry.ModuleDigest, Settings: entry.Settings,
		ContextAwareResources: entry.ContextAwareResources, TimeoutEvalSeconds: entry.TimeoutEvalSeconds,
		HostCapabilities: entry.HostCapabilities,
	}
}

// memberNames are the names of a group's members, sorted.
func memberNames(entry contract.Entry) []string { return slices.Sorted(maps.Keys(entry.Policies)) }

// memberID names a member of a group in logs and in the path of a request.
func memberID(group, name string) string { return contract.MemberID(group, name) }

// pinsUnknown are the pins of an entry that could not be read; it equals those of no other.
const pinsUnknown = "unknown"

// pinsOf are the digests that an entry pins, in one text.
func pinsOf(entry contract.Entry) string {
	if !entry.IsGroup() {
		return entry.ModuleDigest
	}
	var pins strings.Builder
	for _, name := range memberNames(entry) {
		pins.WriteString(name + " " + entry.Policies[name].ModuleDigest + "\n")
	}
	return pins.String()
}

// satisfies says whether the modules that serve are those that an entry pins, as far as it
// pins any. The entry is one of the same members.
func (p *servedPolicy) satisfies(entry contract.Entry) bool {
	if p.group == nil {
		return entry.ModuleDigest == "" || entry.ModuleDigest == p.guest.module.digest
	}
	for name, member := range p.group.members {
		if pinned := entry.Policies[name].ModuleDigest; pinned != "" && pinned != member.module.digest {
			return false
		}
	}
	return true
}

// digestsOf gives the full digests of the modules that serve and that an entry does not pin,
// by the ID of the policy or of the member.
func digestsOf(id string, served *servedPolicy, entry contract.Entry) map[string]string {
	digests := map[string]string{}
	add := func(id string, guest *guest, pinned string) {
		if guest.module.digest != pinned {
			digests[id] = guest.module.digest
		}
	}
	if served.group == nil {
		add(id, served.guest, entry.ModuleDigest)
		return digests
	}
	for name, member := range served.group.members {
		add(memberID(id, name), member, entry.Policies[name].ModuleDigest)
	}
	return digests
}

// sourcesOf are where the modules of an entry come from, in the order of memberNames.
func sourcesOf(entry contract.Entry, trust int) []source {
	if !entry.IsGroup() {
		return []source{{url: entry.Module, pinned: entry.ModuleDigest, refresh: entry.Refresh, trust: trust}}
	}
	sources := make([]source, 0, len(entry.Policies))
	for _, name := range memberNames(entry) {
		member := entry.Policies[name]
		sources = append(sources, source{url: member.Module, pinned: member.ModuleDigest, refresh: entry.Refresh, trust: trust})
	}
	return sources
}

// timeoutOf bounds one evaluation; 0 does not.
func (l *Loader) timeoutOf(member contract.Member) time.Duration {
	if member.TimeoutEvalSeconds == nil {
		return l.config.PolicyTimeout
	}
	return time.Duration(*member.TimeoutEvalSeconds) * time.Second
}

func settingsOf(member contract.Member) json.RawMessage {
	if absent(member.Settings) {
		return json.RawMessage("{}")
	}
	return member.Settings
}

func resourcesOf(member contract.Member) []host.Resource {
	resources := make([]host.Resource, 0, len(member.ContextAwareResources))
	for _, resource := range member.ContextAwareResources {
		resources = append(resources, host.Resource{APIVersion: resource.APIVersion, Kind: resource.Kind})
	}
	return resources
}
