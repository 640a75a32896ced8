// Package stack reconciles the Kubewarden object, which is the installation: it drives the
// certificate authority, makes the default PolicyServer and the audit scanner with the
// kinds that it reports in, sums up what became of everything, and is the order of removal
// when the object goes.
//
// What belongs here: what concerns the installation as a whole.
//
// What never does: webhooks (controllers/policy withdraws them when enforcement is
// suspended or the Kubewarden goes), children of PolicyServers (controllers/policyserver),
// and which step with the authority comes next (controllers/certs).
//
//	deletion:  audit scanner gone, webhooks gone -> our finalizers off policies and PolicyServers
//	           -> children of PolicyServers gone -> our finalizer off the Kubewarden
//	           -> what it owns is garbage collected; CRDs and the user's objects stay
//
// Where the data goes next: status to the user.
package stack
