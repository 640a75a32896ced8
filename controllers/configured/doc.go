// Package configured reads back what the operator has written for the replicas of a policy
// server: the ConfigMap policy-server-<name>. It is the operator's memory of what it has
// accepted and pinned, and outlives it.
//
// What belongs here: decoding that ConfigMap, once for all who ask, and telling of which
// policies two versions of it say something else.
//
// What never does: reading from the API server, deciding what is written
// (controllers/render), and what replicas make of it (controllers/replicas).
//
// Where the data goes next: controllers/policyserver carries over what still holds,
// controllers/policy tells which of its entries are written.
package configured
