package settingscheck

import (
	"bytes"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// question is about the settings of a policy, or of one member of a group.
type question struct {
	// path is where the settings are.
	path *field.Path
	// url and refresh are what stands for the module, as in replicas.Module. digest is what
	// it is pinned to; "" when it is not.
	url, refresh, digest string
	body                 contract.SettingsQuestion
}

// questions are those about the settings of an entry that are new, or go with another module
// than before: all of them where there was nothing before. Pins are those of former, which is
// the entry as the replicas have it.
func questions(id string, before, after, former contract.Entry) []question {
	after = render.CarryPins(after, former)
	earlier, now := members(before), members(after)
	var asked []question
	for _, name := range slices.Sorted(maps.Keys(now)) {
		member := now[name]
		if previous, known := earlier[name]; known && previous.Module == member.Module && bytes.Equal(previous.Settings, member.Settings) {
			continue
		}
		path, named := field.NewPath("spec", "settings"), id
		if after.IsGroup() {
			path, named = field.NewPath("spec", "policies").Key(name).Child("settings"), contract.MemberID(id, name)
		}
		asked = append(asked, question{
			path: path, url: member.Module, refresh: after.Refresh, digest: member.ModuleDigest,
			body: contract.SettingsQuestion{
				PolicyID: named, Settings: member.Settings,
				ContextAwareResources: member.ContextAwareResources, HostCapabilities: member.HostCapabilities,
			},
		})
	}
	return asked
}

// members are the members of a group, or a policy as a member without a name.
func members(entry contract.Entry) map[string]contract.Member {
	switch {
	case entry.IsGroup():
		return entry.Policies
	case entry.Module == "":
		return nil
	}
	return map[string]contract.Member{"": {
		Module: entry.Module, ModuleDigest: entry.ModuleDigest, Settings: entry.Settings,
		ContextAwareResources: entry.ContextAwareResources, HostCapabilities: entry.HostCapabilities,
	}}
}

// find gives the module that a question is for, where a replica has it loaded. A module that
// is not pinned is what other policies got for the same URL.
func (q question) find(loaded []replicas.Module) (replicas.Module, bool) {
	at := slices.IndexFunc(loaded, func(module replicas.Module) bool {
		if q.digest != "" {
			return module.Digest == q.digest
		}
		return module.URL == q.url && module.Refresh == q.refresh
	})
	if at < 0 {
		return replicas.Module{}, false
	}
	return loaded[at], true
}

// refusal is the error for settings that a module finds invalid; the words about it are those
// that the policy's status would have.
func (q question) refusal(module replicas.Module, message string) *field.Error {
	detail := "Policy settings are invalid: " + message + " (said by module " + module.Digest
	if q.digest == "" {
		detail += ", which " + q.url + " stood for when it was loaded; to have it resolved again, set the annotation " + policiesv1.AnnotationRefresh + " to a new value"
	}
	return field.Invalid(q.path, field.OmitValueType{}, detail+")")
}
