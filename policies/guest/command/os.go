//go:build !wasip1

package command

import "os"

// OS is the process that this one is.
func OS() Process {
	return Process{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
}
