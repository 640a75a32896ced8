// Package lock keeps two runs of this program from doing the same work at the same time.
//
// What belongs here: locks that go with their process, however it ends. What never does:
// deciding what needs one; that is for build and for the commands.
package lock
