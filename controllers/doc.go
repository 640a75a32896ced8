// Package controllers wires the operator: one manager, its caches, and one reconciler per
// kind, each in a folder of its own.
//
//	Kind                          folder        children                        conditions
//	Kubewarden                    stack/        PolicyServer default,           CertificatesReady
//	                                            Issuers, CA Certificate,        ReportKindsServed
//	                                            Secret kubewarden-ca,           AuditScheduled
//	                                            CronJob audit-scanner, its      RecommendedPoliciesApplied
//	                                            Jobs, account and rights,       MonitoringApplied
//	                                            recommended policies, binding   Ready
//	                                            of the context watcher,
//	                                            ServiceMonitors, PrometheusRule,
//	                                            dashboard
//	PolicyServer                  policyserver/ ConfigMaps, ServiceAccount,     CertSecretReconciled
//	                                            Role, RoleBinding, Certificate, ConfigMapReconciled
//	                                            Secret, Service,                PodDisruptionBudgetReconciled
//	                                            NetworkPolicy,                  DeploymentReconciled
//	                                            PodDisruptionBudget,            ServiceReconciled
//	                                            Deployment                      PolicyWebhooksCleanedUp
//	                                                                            Ready
//	ClusterAdmissionPolicy,       policy/       ValidatingWebhookConfiguration  PolicyActive
//	ClusterAdmissionPolicyGroup,                or Mutating-                    PolicyUniquelyReachable
//	AdmissionPolicy,                                                            PolicyServerConfigurationUpToDate
//	AdmissionPolicyGroup                                                        ContextReadable
//	                                                                            Ready
//
// A reconcile reads straight down: get, observe (every read), render/ (pure), apply/
// (every write), status (one deferred patch, on success and on error, when it changed).
// Beside them storage/ has objects of old versions stored anew, whatever is installed.
// What they share: certs/ plans the steps with certificates, index/ finds the policies of
// a PolicyServer, configured/ reads back what was written for the replicas, replicas/ reads
// what they report, optional/ watches kinds that a cluster may lack, resource/ writes
// finalizers and statuses. metrics/ tells Prometheus what the caches hold. access/ asks what policy servers may read. admission/ holds
// the rules that no schema can, for the reconcilers and for the API server. selfmanaged/
// keeps the certificate with which the API server is answered, where nobody mounts one.
// upstream/ keeps all of them from acting while upstream's controller runs.
//
// What belongs in this package itself: the wiring.
//
// What never does: reading flags or the environment (cmd/kubewarden does), and any rule
// about one kind.
package controllers
