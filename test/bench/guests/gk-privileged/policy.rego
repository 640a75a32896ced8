# Refuses Pods with a privileged container, of whichever kind, in the syntax of Gatekeeper's
# policies. It asks the host for no builtin, so that any host can run it.
package policy

violation[{"msg": msg, "details": {}}] {
	container := containers[_]
	container.securityContext.privileged
	not exempt(container)
	msg := concat("", ["Privileged container is not allowed: ", container.name])
}

containers[container] {
	container := input.review.object.spec.containers[_]
}

containers[container] {
	container := input.review.object.spec.initContainers[_]
}

containers[container] {
	container := input.review.object.spec.ephemeralContainers[_]
}

exempt(container) {
	pattern := input.parameters.exemptImages[_]
	endswith(pattern, "*")
	startswith(container.image, trim_suffix(pattern, "*"))
}
