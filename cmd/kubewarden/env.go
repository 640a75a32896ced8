package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// bindEnv gives each named flag an environment variable: its value counts when the flag
// is not on the command line and the variable is not empty. The variables stand in the
// help text of their flags. Call it before the command runs.
func bindEnv(command *cobra.Command, variables map[string]string) {
	for name, variable := range variables {
		flag := command.Flags().Lookup(name)
		flag.Usage += envNote(variable)
	}
	command.PreRunE = func(command *cobra.Command, _ []string) error {
		return applyEnv(command.Flags(), variables, os.Getenv)
	}
}

// envNote is how a flag's help names its variable.
func envNote(variable string) string { return " [env " + variable + "]" }

func applyEnv(flags *pflag.FlagSet, variables map[string]string, getenv func(string) string) error {
	for name, variable := range variables {
		value := getenv(variable)
		if value == "" || flags.Changed(name) {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			if wrong, is := errors.AsType[*pflag.InvalidValueError](err); is {
				err = wrong.Unwrap() // nobody has given the flag
			}
			return fmt.Errorf("environment variable %s: %w", variable, err)
		}
	}
	return nil
}

// boolValue is a boolean flag that takes the spellings people use in environment
// variables.
type boolValue bool

var _ pflag.Value = (*boolValue)(nil)

// boolFlag defines a boolean flag that is off by default.
func boolFlag(flags *pflag.FlagSet, target *bool, name, usage string) {
	flag := flags.VarPF((*boolValue)(target), name, "", usage)
	flag.NoOptDefVal = "true"
}

func (b *boolValue) Set(text string) error {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		*b = true
	case "false", "0", "no", "off":
		*b = false
	default:
		return fmt.Errorf("%q is no boolean; allowed are true, false, 1, 0, yes, no, on, off", text)
	}
	return nil
}

func (b *boolValue) String() string { return strconv.FormatBool(bool(*b)) }

func (b *boolValue) Type() string { return "bool" }

// presence is a boolean that is on when its variable holds anything, as the convention
// for NO_COLOR has it.
type presence bool

var _ pflag.Value = (*presence)(nil)

func (p *presence) Set(text string) error {
	*p = presence(text != "")
	return nil
}

func (p *presence) String() string { return strconv.FormatBool(bool(*p)) }

func (p *presence) Type() string { return "bool" }

// choiceValue is a flag that takes one of a few words.
type choiceValue struct {
	target  *string
	allowed []string
}

var _ pflag.Value = choiceValue{}

// choice is a flag that takes one of the allowed words; the first is the default.
func choice(target *string, allowed ...string) choiceValue {
	*target = allowed[0]
	return choiceValue{target: target, allowed: allowed}
}

func (c choiceValue) Set(text string) error {
	for _, word := range c.allowed {
		if strings.EqualFold(text, word) {
			*c.target = word
			return nil
		}
	}
	return fmt.Errorf("%q is not allowed; allowed are %s", text, strings.Join(c.allowed, ", "))
}

func (c choiceValue) String() string {
	if c.target == nil {
		return ""
	}
	return *c.target
}

// Type is what the help shows in the place of a value.
func (c choiceValue) Type() string { return strings.Join(c.allowed, "|") }
