# Refuses an Ingress that claims a host which an Ingress of another namespace has already.
package policy

# The server reads response and answers the API server with it.
main := {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}

response := {"uid": input.request.uid, "allowed": true} if count(claims) == 0

response := {
	"uid": input.request.uid,
	"allowed": false,
	"status": {"message": concat("; ", sort(claims))},
} if count(claims) > 0

claims contains "Ingresses are not granted: want apiVersion networking.k8s.io/v1, kind Ingress in contextAwareResources" if {
	is_ingress
	not data.kubernetes.ingresses
}

claims contains message if {
	is_ingress
	some host in hosts(input.request.object) - known
	some namespace, ingresses in data.kubernetes.ingresses
	namespace != input.request.namespace
	some name, ingress in ingresses
	host in hosts(ingress)
	message := sprintf("host %v belongs to Ingress %v of namespace %v", [host, name, namespace])
}

is_ingress if {
	input.request.kind.group == "networking.k8s.io"
	input.request.kind.kind == "Ingress"
	input.request.object
}

# What an update does not bring is not its fault: whoever cleans up must get through.
default known := set()

known := hosts(input.request.oldObject) if input.request.operation == "UPDATE"

# A rule without a host claims none.
hosts(ingress) := {lower(rule.host) | some rule in ingress.spec.rules}
