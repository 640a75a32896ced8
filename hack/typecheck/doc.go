// Command typecheck says whether packages and their tests compile for another operating
// system or processor, or without a module that is large to download.
//
// What belongs here: reading packages from their sources, with what they import, and checking
// their types. Nothing is compiled, so that a whole product takes some seconds and needs no
// cache: `go vet` compiles everything that is imported first, for each system anew.
//
// What never does: finding defects beyond those that keep code from being compiled, and what
// only a compiler or a linker finds, such as an assembler file that is wrong.
//
// Where the data goes next: to the one who runs `make verify`.
package main
