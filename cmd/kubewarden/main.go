// Command kubewarden is the one binary of the project: the operator, the policy server
// and what comes with them are its sub-commands.
//
// What belongs here: flags and environment variables, turned into the Config structs of
// the rooms, and the wiring of those. What never does: anything that a test of another
// package would want to call.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := rootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
