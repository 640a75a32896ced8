// Package promises keeps docs/promises.md true: every test that the page names exists, in the
// file that it names.
//
// What belongs here: that one check.
//
// What never does: the promises themselves; their tests stand beside what they test.
//
// Where the data goes next: nowhere; a page that has rotted fails `make test-unit`.
package promises
