// Package settingscheck asks a replica of a policy server whether a module can work with the
// settings of a policy that is about to be written.
//
// What belongs here: which settings of a policy are new (questions.go), the call to a replica
// that has the module loaded (ask.go), and what the answers mean to the writer (checker.go).
//
// What never does: refusing a policy for any other reason than that its module finds its
// settings invalid. Whatever else goes wrong is a warning: the check is a courtesy, and the
// policy's status tells of invalid settings all the same.
//
// Where the data goes next: to controllers/admission, which answers the API server.
package settingscheck
