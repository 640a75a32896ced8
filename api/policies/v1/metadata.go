package v1

// Finalizers of upstream's controller (constants.go). The first is the one in use; the
// second stems from before 1.14 and is only ever removed.
const (
	Finalizer       = "kubewarden.io/finalizer"
	FinalizerLegacy = "kubewarden"
)

// Annotations that users put on policies and policy servers.
const (
	// AnnotationSeverity and AnnotationCategory go into reports and wide columns; both
	// are upstream's (constants.go).
	AnnotationSeverity = "io.kubewarden.policy.severity"
	AnnotationCategory = "io.kubewarden.policy.category"

	// AnnotationRefresh makes policy servers resolve the tag of a policy's module again,
	// once per value. The value is any string, usually a time.
	AnnotationRefresh = "kubewarden.io/refresh"

	// AnnotationInstanceMode on a policy says what the instance that judges a request was
	// before: "pristine", which is the default, and for policies of the whole cluster "warm"
	// or "fresh". What they mean stands in policyserver/contract, InstanceMode.
	AnnotationInstanceMode = "kubewarden.io/instance-mode"

	// AnnotationServerContract on a PolicyServer names the contract that its image
	// follows where the image's name does not tell.
	AnnotationServerContract = "kubewarden.io/server-contract"
	// AnnotationMaxReplicas on a PolicyServer has an autoscaler choose the number of replicas:
	// at least spec.replicas and at most the value, from 1 to 100. It needs spec.requests.cpu.
	AnnotationMaxReplicas = "kubewarden.io/max-replicas"
	// AnnotationTargetCPU, beside it, is how much of the requested CPU a replica is to use, in
	// percent from 1 to 1000; 80 when it is left out.
	AnnotationTargetCPU = "kubewarden.io/target-cpu-utilization"
	// ServerContractLive is the value for an image that watches its own configuration.
	ServerContractLive = "live"
)

// DefaultPolicyServer is the PolicyServer of a policy that names none.
const DefaultPolicyServer = "default"

// NeverLockOutCondition is the match condition that the operator adds to every webhook.
// A policy may not use the name.
const NeverLockOutCondition = "kubewarden.io-never-lock-out"
