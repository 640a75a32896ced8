// Package document reads JSON for policies, which begin anew with every request and so pay for
// each look at a byte. A document is looked over once, for where its brackets close; after that
// objects and lists are stepped over whatever they hold, and only the members of those that
// somebody asks about are looked at again.
//
// What belongs here: finding values, and reading texts, truth values and lists of them. read.go
// looks over a document, by what find.go finds in it; walk.go goes from member to member, by token.go;
// value.go is what policies ask for, text.go undoes escapes, wrong.go says what is not as it has
// to be. load.go reads eight bytes, load_wasm.go in one go.
//
// What never does: what a value means, and types to decode into.
package document
