// Package progress tells the person at the terminal what is happening and for how long.
//
// What belongs here: the form of a progress line. What never does: deciding what to do.
package progress
