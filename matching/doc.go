// Package matching answers one question: does this webhook match this request? It is the
// API server's own matching (k8s.io/apiserver, admission/plugin/webhook: the predicates for
// rules, namespaces and objects, and the match conditions in CEL), wrapped so that it can be
// asked about one webhook and one request, says why a webhook does not match, and needs no
// running API server.
//
// What belongs here: compiling the part of a webhook that decides which requests reach it,
// and asking it.
//
// What never does: policies, reports, clients, listing. The package is a leaf: it imports
// the API server's libraries and nothing of this project.
//
// Where the data goes next: audit/plan asks which kinds a policy's rules cover, audit/scan
// asks about each object.
package matching
