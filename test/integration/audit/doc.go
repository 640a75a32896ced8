// Package audit holds what an audit asks against what a real API server calls: the same
// policies are installed as webhooks, which a double answers and records, and put to the
// audit scanner, which asks the same double.
//
// What belongs here: whether the two agree, policy by policy and object by object. What never
// does: what becomes of the answers, which is audit/scan's and audit/report's own.
package audit
