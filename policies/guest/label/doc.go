// Package label knows what the key of a label is, for policies that are told keys.
//
// What belongs here: nothing but that. What never does: which labels an object has.
package label
