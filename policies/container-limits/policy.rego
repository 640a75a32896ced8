# Refuses containers without limits on CPU and memory, and with limits above the settings'.
#
# The settings arrive as input.parameters, the AdmissionRequest as input.review; each
# element of violation is a reason to refuse. This is the syntax of Gatekeeper's policies.
package policy

resources = {"cpu", "memory"}

# demanded are the resources that have a setting.
demanded = {name | resources[name]; input.parameters[name]}

# A setting that cannot be read refuses everything: it would bound nothing.
violation[{"msg": msg}] {
	setting := input.parameters[name]
	resources[name]
	not bounds[name]
	msg := sprintf("setting %q: %q is not a quantity", [name, setting])
}

violation[{"msg": msg}] {
	input.parameters[name]
	not resources[name]
	name != "exempt_images"
	msg := sprintf("unknown setting %q, allowed are: cpu, exempt_images, memory", [name])
}

violation[{"msg": msg}] {
	demanded[name]
	container := containers[_]
	not container.resources.limits[name]
	msg := sprintf("container %q has no %s limit", [container.name, name])
}

violation[{"msg": msg}] {
	demanded[name]
	container := containers[_]
	limit := container.resources.limits[name]
	fault := fault_of(amount(limit), name)
	msg := sprintf("container %q: %s limit %v %s", [container.name, name, limit, fault])
}

# fault_of says what is wrong with a limit, by its amount.
fault_of(null, _) = "is not a quantity"

fault_of(number, name) = fault {
	number > bounds[name]
	fault := sprintf("is above %v", [input.parameters[name]])
}

# bounds are the settings that can be read, as numbers.
bounds[name] = number {
	resources[name]
	number := quantity(input.parameters[name])
}

# amount is a limit as a number, null where it is no quantity.
amount(limit) = number {
	number := quantity(limit)
} else = null

# containers are all containers of a Pod, or of what makes Pods, but for exempt ones. They are a
# list: a set would compare all that is in them.
containers = [container |
	list_of_containers[list]
	container := pod_spec[list][_]
	not exempt(container)
]

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

# quantity is a Kubernetes quantity as a number: digits, and an exponent or a suffix. A regular
# expression would take it several times as long.
quantity(value) = number {
	text := as_text(value)
	bare := trim_right(text, "numkKMGTPEi")
	exponent := trim_left(bare, "0123456789.")
	digits := trim_suffix(bare, exponent)
	digits != ""
	digits != "."
	plain := concat("", ["0", digits, exponent]) # no sign, and .5 is one
	trim_right(plain, "eE+-") == plain # an exponent has digits
	number := to_number(plain) * suffixes[trim_prefix(text, bare)]
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
