// Package report keeps one report per audited object: a PolicyReport or ClusterPolicyReport
// of wgpolicyk8s.io/v1alpha2, or a Report or ClusterReport of openreports.io/v1alpha1.
//
// What belongs here: what a result says about a policy and its verdict, the names, labels
// and properties that other tools read, the two report APIs behind one narrow interface
// (family), and every write: create, replace, delete, each only where something changed.
//
// What never does: listing what is audited, asking policy servers, deciding what is asked.
//
// Where the data goes next: nowhere; Policy Reporter, dashboards and kubectl read the
// reports. The names, labels and properties are upstream's (audit-scanner: report.go),
// because those tools know them.
package report
