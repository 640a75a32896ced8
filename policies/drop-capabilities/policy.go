package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

// object is a JSON object of which only some members are known. Numbers in it stay as
// they were written.
type object = map[string]any

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	path := request.PodSpecPath()
	if path == nil {
		return guest.Accept(), nil
	}
	if response, decided := config.glance(request); decided {
		return response, nil
	}
	var whole object
	decoder := json.NewDecoder(bytes.NewReader(request.Object))
	decoder.UseNumber()
	if err := decoder.Decode(&whole); err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	spec := whole
	for _, key := range path {
		if spec, err = member(spec, key); err != nil {
			return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
		}
	}
	changed, reasons, err := config.apply(spec)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	if len(reasons) > 0 {
		return guest.Reject(strings.Join(reasons, "; ")), nil
	}
	if !changed {
		return guest.Accept(), nil
	}
	mutated, err := json.Marshal(whole)
	if err != nil {
		return guest.Response{}, fmt.Errorf("encode %s: %w", request.Kind.Kind, err)
	}
	return guest.Mutate(mutated), nil
}

// glance judges by the little of an object that decides. The whole of it is read only where it
// has to be changed, or where something is wrong with it.
func (s settings) glance(request guest.Request) (response guest.Response, decided bool) {
	part, err := request.Containers([]string{"name", "securityContext"}, "os")
	if err != nil || part == nil {
		return guest.Response{}, false
	}
	var spec object
	if err := json.Unmarshal(part, &spec); err != nil {
		return guest.Response{}, false
	}
	changed, reasons, err := s.apply(spec)
	switch {
	case err != nil:
		return guest.Response{}, false
	case len(reasons) > 0:
		return guest.Reject(strings.Join(reasons, "; ")), true
	default:
		return guest.Accept(), !changed
	}
}

// apply changes the containers of a Pod and says whether it changed any, and for which
// reasons the Pod is to be refused.
func (s settings) apply(spec object) (changed bool, reasons []string, err error) {
	system, err := member(spec, "os")
	if err != nil {
		return false, nil, err
	}
	if system["name"] == "windows" { // has no capabilities, and an API server refuses any
		return false, nil, nil
	}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		items, present := spec[list].([]any)
		if !present && spec[list] != nil {
			return false, nil, fmt.Errorf("%s is not a list", list)
		}
		for i, item := range items {
			container, present := item.(object)
			if !present {
				return false, nil, fmt.Errorf("%s[%d] is not an object", list, i)
			}
			change, refused, err := s.applyTo(container)
			if err != nil {
				return false, nil, fmt.Errorf("%s[%d]: %w", list, i, err)
			}
			changed = changed || change
			for _, reason := range refused {
				reasons = append(reasons, fmt.Sprintf("container %q %s", container["name"], reason))
			}
		}
	}
	return changed, reasons, nil
}

func (s settings) applyTo(container object) (changed bool, reasons []string, err error) {
	security, err := member(container, "securityContext")
	if err != nil {
		return false, nil, err
	}
	capabilities, err := member(security, "capabilities")
	if err != nil {
		return false, nil, err
	}
	added, err := names(capabilities, "add")
	if err != nil {
		return false, nil, err
	}
	dropped, err := names(capabilities, "drop")
	if err != nil {
		return false, nil, err
	}
	for _, capability := range added {
		switch name := strings.ToUpper(capability); {
		case slices.Contains(s.RequiredDrop, name):
			reasons = append(reasons, fmt.Sprintf("adds capability %s, which has to be dropped", capability))
		case !s.allows(name):
			reasons = append(reasons, fmt.Sprintf("adds capability %s, which is not allowed", capability))
		}
	}
	drop, add := dropped, added
	if !holds(dropped, "ALL") {
		drop = with(dropped, s.RequiredDrop, nil)
		add = with(added, s.DefaultAdd, dropped)
	}
	if len(drop) == len(dropped) && len(add) == len(added) {
		return false, reasons, nil
	}
	set(capabilities, "drop", drop)
	set(capabilities, "add", add)
	security["capabilities"] = capabilities
	container["securityContext"] = security
	return true, reasons, nil
}

func (s settings) allows(capability string) bool {
	return slices.Contains(s.Allowed, anyCapability) || slices.Contains(s.Allowed, capability) ||
		slices.Contains(s.DefaultAdd, capability)
}

// with are the names of a list and those of more that are neither among them nor in but.
func with(list, more, but []string) []string {
	all := slices.Clone(list)
	for _, name := range more {
		if !holds(all, name) && !holds(but, name) {
			all = append(all, name)
		}
	}
	return all
}

// holds compares as container runtimes do, whatever the case.
func holds(list []string, name string) bool {
	return slices.ContainsFunc(list, func(other string) bool { return strings.EqualFold(other, name) })
}

// member is a member that is an object; where there is none it is empty.
func member(of object, key string) (object, error) {
	value, present := of[key].(object)
	if !present && of[key] != nil {
		return nil, fmt.Errorf("%s is not an object", key)
	}
	if value == nil {
		value = object{}
	}
	return value, nil
}

// names is a member that is a list of strings.
func names(of object, key string) ([]string, error) {
	items, present := of[key].([]any)
	if !present && of[key] != nil {
		return nil, fmt.Errorf("%s is not a list", key)
	}
	var all []string
	for i, item := range items {
		name, present := item.(string)
		if !present {
			return nil, fmt.Errorf("%s[%d] is not a string", key, i)
		}
		all = append(all, name)
	}
	return all, nil
}

func set(of object, key string, list []string) {
	if len(list) > 0 {
		of[key] = list
	}
}
