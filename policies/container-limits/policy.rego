# Refuses containers without limits on CPU and memory, and with limits above the settings'.
#
# The settings arrive as input.parameters, the AdmissionRequest as input.review; each
# element of violation is a reason to refuse. This is the syntax of Gatekeeper's policies.
package policy

resources = {"cpu", "memory"}

# A setting that cannot be read refuses everything: it would bound nothing.
violation[{"msg": msg}] {
	setting := input.parameters[name]
	resources[name]
	not quantity(setting)
	msg := sprintf("setting %q: %q is not a quantity", [name, setting])
}

violation[{"msg": msg}] {
	input.parameters[name]
	not resources[name]
	name != "exempt_images"
	msg := sprintf("unknown setting %q, allowed are: cpu, exempt_images, memory", [name])
}

violation[{"msg": msg}] {
	container := containers[_]
	input.parameters[name]
	resources[name]
	not container.resources.limits[name]
	msg := sprintf("container %q has no %s limit", [container.name, name])
}

violation[{"msg": msg}] {
	container := containers[_]
	resources[name]
	input.parameters[name]
	limit := container.resources.limits[name]
	not quantity(limit)
	msg := sprintf("container %q: %s limit %v is not a quantity", [container.name, name, limit])
}

violation[{"msg": msg}] {
	container := containers[_]
	resources[name]
	most := quantity(input.parameters[name])
	limit := container.resources.limits[name]
	quantity(limit) > most
	msg := sprintf("container %q: %s limit %v is above %v", [container.name, name, limit, input.parameters[name]])
}

# containers are all containers of a Pod, or of what makes Pods, but for exempt ones.
containers[container] {
	container := pod_spec[list][_]
	list_of_containers[list]
	not exempt(container)
}

list_of_containers = {"containers", "initContainers"}

pod_spec = input.review.object.spec {
	input.review.kind.kind == "Pod"
}

pod_spec = input.review.object.spec.jobTemplate.spec.template.spec {
	input.review.kind.kind == "CronJob"
}

pod_spec = input.review.object.spec.template.spec {
	not pod_or_cronjob[input.review.kind.kind]
}

pod_or_cronjob = {"Pod", "CronJob"}

# An exemption is an image, or the beginning of one followed by an asterisk.
exempt(container) {
	container.image == input.parameters.exempt_images[_]
}

exempt(container) {
	pattern := input.parameters.exempt_images[_]
	endswith(pattern, "*")
	startswith(container.image, trim_suffix(pattern, "*"))
}

# quantity is a Kubernetes quantity as a number: digits, and an exponent or a suffix.
quantity(value) = number {
	text := as_text(value)
	parts := regex.find_all_string_submatch_n(`^([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?([a-zA-Z]*)$`, text, 1)[0]
	number := to_number(concat("", ["0", trim_suffix(parts[1], "."), parts[2]])) * suffixes[parts[3]]
}

as_text(value) = value {
	is_string(value)
}

as_text(value) = text {
	is_number(value)
	text := json.marshal(value)
}

suffixes = {
	"n": 0.000000001, "u": 0.000001, "m": 0.001, "": 1,
	"k": 1000, "M": 1000000, "G": 1000000000, "T": 1000000000000,
	"P": 1000000000000000, "E": 1000000000000000000,
	"Ki": 1024, "Mi": 1048576, "Gi": 1073741824, "Ti": 1099511627776,
	"Pi": 1125899906842624, "Ei": 1152921504606846976,
}
