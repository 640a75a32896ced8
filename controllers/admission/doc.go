// Package admission holds the rules for our own kinds that their schemas cannot express,
// and the webhooks through which the API server asks about them.
//
// What belongs here: the rules, as pure functions from an object to a list of errors; the
// thin webhooks around them; the server that answers once there is a certificate.
//
// What never does: a rule that holds only when the webhooks are reachable. They are a
// courtesy: a user hears at once what is wrong. The reconcilers run the same rules again, so
// that nothing becomes active that breaks one.
//
// Settings are the one thing that is not known here: a SettingsChecker, which is handed in, has
// a policy's module asked about them.
//
// Where the data goes next: to the API server as the answer to a request, and to
// controllers/policy, which tells of errors in the status.
package admission
