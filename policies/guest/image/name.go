package image

import "strings"

// The registry of names that name none, and another host of it.
const (
	DockerHub      = "docker.io"
	OtherDockerHub = "index.docker.io"
)

// Expand writes a short name out as container runtimes do: busybox is
// docker.io/library/busybox.
func Expand(name string) string {
	host, rest, nested := strings.Cut(name, "/")
	switch {
	case nested && host == OtherDockerHub:
		return Expand(DockerHub + "/" + rest)
	case nested && host == DockerHub && !strings.Contains(rest, "/"):
		return DockerHub + "/library/" + rest
	case nested && IsHost(host):
		return name
	case nested:
		return DockerHub + "/" + name
	default:
		return DockerHub + "/library/" + name
	}
}

// IsHost says whether the first part of a name is a registry.
func IsHost(part string) bool {
	return strings.ContainsAny(part, ".:") || part == "localhost"
}

// Repository is a name without its tag and its digest.
func Repository(name string) string {
	name, _ = WithoutDigest(name)
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		return name[:colon]
	}
	return name
}

// WithoutDigest takes a name apart at its digest, which is "" where there is none.
func WithoutDigest(name string) (rest, digest string) {
	rest, digest, _ = strings.Cut(name, "@")
	return rest, digest
}
