// Package access asks the API server what the account of a policy server may read, so that
// a policy which declares more can say so before a request fails on it.
//
// What belongs here: which rule a declared kind needs, the questions
// (SubjectAccessReviews), and how long an answer is believed.
//
// What never does: granting anything (controllers/stack binds the context watcher, users
// bind the rest), and the words of conditions.
//
// Where the data goes next: to controllers/policy, which tells it in the policy's status.
package access
