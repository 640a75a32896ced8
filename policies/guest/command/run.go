package command

import (
	"bytes"
	"fmt"
	"io"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

// Process is what a command sees of the world.
type Process struct {
	// Args are its arguments, without its own name.
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// operations are what a command is asked, by the argument that says so.
var operations = map[string]string{"validate": "validate", "validate-settings": "validate_settings"}

// Run answers one question and returns the code to exit with.
func Run(process Process, policy guest.Policy) int {
	if err := run(process, policy); err != nil {
		fmt.Fprintln(process.Stderr, err)
		return 1
	}
	return 0
}

// questionBytes is more than most questions have.
const questionBytes = 64 << 10

func run(process Process, policy guest.Policy) error {
	if len(process.Args) != 1 || operations[process.Args[0]] == "" {
		return fmt.Errorf("got arguments %q, want validate or validate-settings", process.Args)
	}
	policy = policy.Prepare()
	// Room that is made before the first read is there before the first request.
	var question bytes.Buffer
	question.Grow(questionBytes)
	if _, err := question.ReadFrom(process.Stdin); err != nil {
		return fmt.Errorf("read question: %w", err)
	}
	answer, err := policy.Answer(operations[process.Args[0]], question.Bytes())
	if err != nil {
		return err
	}
	if _, err := process.Stdout.Write(answer); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
