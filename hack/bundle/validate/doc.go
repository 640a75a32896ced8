// Package validate checks a bundle before anybody installs it.
//
// What belongs here: running the validators of operator-framework/api, and rules of our own
// for what they do not look at: what OLM v1 refuses, what OLM would install in a way that
// nobody meant, and what consoles and the scorecard want described.
//
// What never does: mending. A finding is mended in config or in assemble.
//
// Where the data goes next: to whoever runs it; any finding is a failure.
package validate
