// Package record writes down what a benchmark has measured.
//
// What belongs here: the file of a result, which tools read.
//
// What never does: figures and their limits, which each benchmark has itself, and tables for
// people.
package record
