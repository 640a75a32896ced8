package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
)

// docsCommand writes the help of a command into a file, as upstream's sub-command does.
func docsCommand(of func() *cobra.Command) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "docs",
		Short: "Write the command line as Markdown into a file",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return os.WriteFile(output, []byte(markdown(of())), 0o644) //nolint:gosec // a document is for everyone
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "file to write")
	_ = command.MarkFlagRequired("output") // it is defined in the line above
	return command
}

// markdown is the help of a policy server as a document.
func markdown(command *cobra.Command) string {
	return "# `kubewarden " + command.Name() + "`\n\n" + command.Long + "\n\n" +
		"A flag on the command line wins over its variable. Booleans are `true`, `1`, `yes`, `on` and `false`, `0`, `no`, `off`.\n\n" +
		flagTable(command.Flags(), policyServerEnv) +
		"\nSub-command `docs --output FILE`: write this document.\n"
}

// defaultsInWords are defaults that are not the same everywhere.
var defaultsInWords = map[string]string{"workers": fmt.Sprintf("%d for each CPU", workersPerCPU)}

// flagTable has a row for each flag, hidden ones too, in the order of their definition.
func flagTable(flags *pflag.FlagSet, variables map[string]string) string {
	var table strings.Builder
	table.WriteString("| flag | variable | default | meaning |\n|---|---|---|---|\n")
	flags.VisitAll(func(flag *pflag.Flag) {
		name := "`--" + flag.Name + "`"
		if flag.Shorthand != "" {
			name += ", `-" + flag.Shorthand + "`"
		}
		variable, meaning := variables[flag.Name], flag.Usage
		if variable != "" {
			meaning = strings.TrimSuffix(meaning, envNote(variable))
			variable = "`" + variable + "`"
		}
		value, inWords := defaultsInWords[flag.Name]
		if !inWords && flag.DefValue != "" {
			value = "`" + flag.DefValue + "`"
		}
		if choice, is := flag.Value.(choiceValue); is {
			meaning += ": `" + strings.Join(choice.allowed, "`, `") + "`"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", name, variable, value, meaning)
	})
	return table.String()
}

// versionFlags are the two questions for the version that upstream answers.
type versionFlags struct{ long, short bool }

func (v *versionFlags) define(flags *pflag.FlagSet) {
	flags.BoolVar(&v.long, "version", false, "print the version and the builtins of Rego that policies may ask for")
	flags.BoolVarP(&v.short, "version-only", "V", false, "print the version")
}

func (v *versionFlags) asked() bool { return v.long || v.short }

// print answers in upstream's format.
func (v *versionFlags) print(output io.Writer) error {
	text := "policy-server " + version + "\n"
	if v.long {
		text += "\nOpen Policy Agent/Gatekeeper implemented builtins:\n  - " + strings.Join(rego.Builtins(), "\n  - ") + "\n"
	}
	_, err := io.WriteString(output, text)
	return err
}
