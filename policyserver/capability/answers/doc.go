// Package answers keeps what was answered a moment ago, and lets those who ask the same at
// the same time wait for one answer.
//
// What belongs here: for how long, how many and how large; who waits for whom, and what
// becomes of a question when nobody waits any more.
//
// What never does: what is asked, and of whom. Rooms beside this one say what makes two
// questions the same, and that is all that their answers depend on.
package answers
