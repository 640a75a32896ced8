// Package policiestest hands the modules of this project's policies to tests. A module is
// built when it is first asked for and kept in the user's cache directory under a hash of
// what it is made of, so that many packages' tests build it once.
//
// What belongs here: nothing but that.
//
// What never does: anything that product code imports.
package policiestest
