# Refuses Services of type NodePort, which open a port on every node of the cluster.
package policy

# The server reads response and answers the API server with it.
main := {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}

response := {"uid": input.request.uid, "allowed": true} if not denied

response := {
	"uid": input.request.uid,
	"allowed": false,
	"status": {"message": "Services of type NodePort are not allowed"},
} if denied

denied if {
	input.request.kind.group == ""
	input.request.kind.kind == "Service"
	input.request.object.spec.type == "NodePort"
}
