package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	if runsOnWindows, err := isForWindows(request); err != nil || runsOnWindows {
		return guest.Accept(), err
	}
	var edits document.Edits
	var reasons []string
	err = request.EachContainer(func(_ string, container document.Value) error {
		has, err := capabilitiesOf(container)
		if err != nil {
			return err
		}
		refused := config.refuses(has)
		if len(refused) == 0 {
			return config.complete(has, container, &edits)
		}
		name, err := container.Text("name")
		for _, reason := range refused {
			reasons = append(reasons, fmt.Sprintf("container %q %s", name, reason))
		}
		return err
	})
	switch {
	case err != nil:
		return guest.Response{}, err
	case len(reasons) > 0:
		return guest.Reject(strings.Join(reasons, "; ")), nil
	case edits.Any():
		return request.Mutate(edits), nil
	default:
		return guest.Accept(), nil
	}
}

// isForWindows says whether a Pod is: such Pods have no capabilities, and an API server refuses
// any.
func isForWindows(request guest.Request) (bool, error) {
	path := request.PodSpecPath()
	if path == nil {
		return false, nil
	}
	system, err := request.Object.Text(append(path, "os", "name")...)
	if err != nil {
		return false, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	return system == "windows", nil
}

// held are the capabilities that a container has.
type held struct {
	value          document.Value
	added, dropped []string
}

func capabilitiesOf(container document.Value) (has held, err error) {
	has.value, err = container.Get("securityContext", "capabilities")
	if err != nil || !has.value.Exists() {
		return has, err
	}
	if has.added, err = has.value.Texts("add"); err == nil {
		has.dropped, err = has.value.Texts("drop")
	}
	if err != nil {
		return held{}, document.In(err, "securityContext", "capabilities")
	}
	return has, nil
}

// refuses says for which reasons a container must not have what it has.
func (s settings) refuses(has held) (reasons []string) {
	for _, capability := range has.added {
		switch name := strings.ToUpper(capability); {
		case slices.Contains(s.RequiredDrop, name):
			reasons = append(reasons, fmt.Sprintf("adds capability %s, which has to be dropped", capability))
		case !s.allows(name):
			reasons = append(reasons, fmt.Sprintf("adds capability %s, which is not allowed", capability))
		}
	}
	return reasons
}

// complete makes the edits by which a container has all that it has to have.
func (s settings) complete(has held, container document.Value, edits *document.Edits) error {
	if holds(has.dropped, "ALL") {
		return nil
	}
	drop, add := with(has.dropped, s.RequiredDrop, nil), with(has.added, s.DefaultAdd, has.dropped)
	if len(drop) == len(has.dropped) && len(add) == len(has.added) {
		return nil
	}
	var members []string
	for _, list := range []struct {
		name  string
		names []string
	}{{"drop", drop}, {"add", add}} {
		if len(list.names) == 0 {
			continue
		}
		json := string(document.AppendTexts(nil, list.names))
		members = append(members, `"`+list.name+`":`+json)
		if has.value.Exists() {
			if err := edits.Set(has.value, json, list.name); err != nil {
				return err
			}
		}
	}
	if has.value.Exists() {
		return nil
	}
	return edits.Set(container, "{"+strings.Join(members, ",")+"}", "securityContext", "capabilities")
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
