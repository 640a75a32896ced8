// Package contract holds what the operator and a policy server agree on: the files
// policies.yml, sources.yml and verification.yml, policy IDs, paths, ports, names of
// environment variables, and the report that every replica writes.
//
// What belongs here: the one Go type of each of these wire formats, its decoder and
// encoder, and the hashes that both sides must compute alike.
//
// What never does: reading a file, talking to Kubernetes, evaluating a policy. The
// package is a leaf: standard library and go.yaml.in/yaml/v3 only.
//
// Where the data goes next: controllers/render writes these types into ConfigMaps,
// policyserver/evaluation reads them and builds a policy set, policyserver/server
// writes the report, and controllers/policyserver reads it.
package contract
