// Package command makes a policy a WASI command. Such a policy is a main package whose main
// function is
//
//	func main() { os.Exit(command.Run(command.OS(), policy)) }
//
// It is run once per question: the question's name is its first argument, the question its
// standard input, the answer its standard output. What it writes to its standard error
// before it ends with a code other than 0 is the message of a denial.
//
// What belongs here: the glue. What never does: what a policy decides.
package command
