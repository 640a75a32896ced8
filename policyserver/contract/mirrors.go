package contract

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Mirrors are places to ask before a registry, in their order, by registry (host[:port]) or
// by the beginning of a repository's name (host[:port]/path), which the mirror (the same
// form) then stands in for.
type Mirrors map[string][]string

// mirrorPlace is host[:port], with or without a path of a repository's name.
var mirrorPlace = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)

func (m Mirrors) validate() error {
	const want = "want host[:port] or host[:port]/path, without a scheme"
	for _, place := range slices.Sorted(maps.Keys(m)) {
		if !mirrorPlace.MatchString(place) {
			return fmt.Errorf("mirrors: key is %q, %s", place, want)
		}
		for i, mirror := range m[place] {
			if !mirrorPlace.MatchString(mirror) {
				return fmt.Errorf("mirrors of %q, item %d: got %q, %s", place, i, withoutUser(mirror), want)
			}
			// Without any of these it would be read as the name of an image at Docker Hub.
			if host, _, _ := strings.Cut(mirror, "/"); host != "localhost" && !strings.ContainsAny(host, ".:") {
				return fmt.Errorf("mirrors of %q, item %d: got %q, want a host with a dot or a port", place, i, mirror)
			}
		}
	}
	return nil
}

// Of gives the names that a repository (host[:port]/path) has at the mirrors of the longest
// key that it begins with.
func (m Mirrors) Of(repository string) []string {
	repository = withoutIndex(repository)
	longest, found := "", ""
	for key := range m {
		begin := withoutIndex(key)
		longer := len(begin) > len(longest) || len(begin) == len(longest) && key < found
		if longer && (repository == begin || strings.HasPrefix(repository, begin+"/")) {
			longest, found = begin, key
		}
	}
	if found == "" {
		return nil
	}
	names := make([]string, 0, len(m[found]))
	for _, mirror := range m[found] {
		names = append(names, mirror+strings.TrimPrefix(repository, longest))
	}
	return names
}

// withoutIndex gives Docker Hub the one of its two names that people write.
func withoutIndex(name string) string {
	if rest, found := strings.CutPrefix(name, "index.docker.io"); found && (rest == "" || rest[0] == '/') {
		return "docker.io" + rest
	}
	return name
}
