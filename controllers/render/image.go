package render

import (
	"strings"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Contract is what the operator may expect of a policy server's image.
type Contract string

const (
	// ContractLive is our own: the server watches its configuration and reports.
	ContractLive Contract = "Live"
	// ContractRollout is upstream's: the server reads files at start, so that a change of
	// its configuration restarts it.
	ContractRollout Contract = "Rollout"
)

// ServerContract decides which contract a PolicyServer's image follows. It is ours when
// none is named, when its name ends as the operator's own does (a mirror keeps the last
// element of the path), or when the annotation says so.
func ServerContract(server *policiesv1.PolicyServer, operatorImage string) Contract {
	switch {
	case server.Spec.Image == "",
		lastElement(server.Spec.Image) == lastElement(operatorImage),
		server.Annotations[policiesv1.AnnotationServerContract] == policiesv1.ServerContractLive:
		return ContractLive
	default:
		return ContractRollout
	}
}

// rolls says whether a change of the configuration restarts the replicas.
func (in PolicyServerInput) rolls() bool {
	return ServerContract(in.Server, in.Config.Image) == ContractRollout
}

// Image is the image that the replicas of a PolicyServer run.
func Image(server *policiesv1.PolicyServer, operatorImage string) string {
	if server.Spec.Image == "" {
		return operatorImage
	}
	return server.Spec.Image
}

// lastElement is the last element of an image's path, without tag and digest.
func lastElement(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndex(image, "/")+1:]
	image, _, _ = strings.Cut(image, ":")
	return image
}
