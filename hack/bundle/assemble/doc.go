// Package assemble turns what kustomize renders from config/manifests, and the samples, into
// a bundle in the registry+v1 format that OLM v0 and OLM v1 install.
//
// What belongs here: what a bundle says in other words than the configuration.
//
//	Deployment, and what its account may do everywhere  -> in the ClusterServiceVersion
//	CustomResourceDefinitions, samples                  -> beside it, and described in it
//	rights inside the operator's own namespace          -> a Role and a RoleBinding without namespace
//	what the scorecard tests                            -> beside them, for those who run it
//	Namespace, the account                              -> OLM's to make
//
// OLM turns the permissions of a ClusterServiceVersion into ClusterRoles when an operator
// watches all namespaces. Rights that the operator has in its own namespace only, on Secrets
// above all, are therefore manifests of their own, which OLM creates in the namespace that
// the operator is installed into.
//
// What never does: reading the cluster, the clock or the environment. The same input gives
// the same bytes.
//
// Where the data goes next: the folder bundle, then validate and catalog.
package assemble
