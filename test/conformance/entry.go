package conformance

import "maps"

// Modules gives the URL of a module.
type Modules func(Module) (string, error)

// Entry is the case's entry of policies.yml as JSON or YAML have it; nil when the case is
// about a policy that does not exist.
func (c *Case) Entry(urlOf Modules) (map[string]any, error) {
	switch {
	case c.Policy != nil:
		return c.Policy.entry(urlOf)
	case c.Group != nil:
		return c.Group.entry(urlOf)
	default:
		return nil, nil
	}
}

func (p *Policy) entry(urlOf Modules) (map[string]any, error) {
	entry, err := p.Module.entry(urlOf)
	if err != nil {
		return nil, err
	}
	setUnless(entry, "policyMode", p.Mode, "")
	setUnless(entry, "message", p.Message, "")
	if p.AllowedToMutate != nil {
		entry["allowedToMutate"] = *p.AllowedToMutate
	}
	maps.Copy(entry, p.Further)
	return entry, nil
}

func (m *Module) entry(urlOf Modules) (map[string]any, error) {
	url, err := urlOf(*m)
	if err != nil {
		return nil, err
	}
	entry := map[string]any{"module": url, "settings": m.Settings}
	if m.TimeoutEvalSeconds != nil {
		entry["timeoutEvalSeconds"] = *m.TimeoutEvalSeconds
	}
	if m.HostCapabilities != nil {
		entry["hostCapabilities"] = m.HostCapabilities
	}
	if m.ContextAwareResources != nil {
		entry["contextAwareResources"] = m.ContextAwareResources
	}
	return entry, nil
}

func (g *Group) entry(urlOf Modules) (map[string]any, error) {
	members := map[string]any{}
	for name, member := range g.Members {
		entry, err := member.entry(urlOf)
		if err != nil {
			return nil, err
		}
		members[name] = entry
	}
	entry := map[string]any{"expression": g.Expression, "message": g.Message, "policies": members}
	setUnless(entry, "policyMode", g.Mode, "")
	return entry, nil
}

func setUnless[T comparable](entry map[string]any, key string, value, unset T) {
	if value != unset {
		entry[key] = value
	}
}
