package main

import (
	"errors"

	"github.com/spf13/pflag"
)

// upstreamFlags are taken because upstream's scripts give them. All but --daemon say what is
// so anyway.
type upstreamFlags struct {
	noColor, continueOnErrors, ignoreCluster bool
	daemon                                   bool
	daemonPIDFile, daemonStdout              string
	daemonStderr                             string
}

func (f *upstreamFlags) define(flags *pflag.FlagSet) {
	flags.Var((*presence)(&f.noColor), "log-no-color", "changes nothing: log lines are never coloured")
	flags.Lookup("log-no-color").NoOptDefVal = "true"
	boolFlag(flags, &f.continueOnErrors, "continue-on-errors", "changes nothing: a policy that fails never stops the others")
	boolFlag(flags, &f.ignoreCluster, "ignore-kubernetes-connection-failure", "changes nothing: policies from a file need no cluster")
	boolFlag(flags, &f.daemon, "daemon", "refused: the server stays in the foreground")
	flags.StringVar(&f.daemonPIDFile, "daemon-pid-file", "policy-server.pid", "changes nothing without --daemon")
	flags.StringVar(&f.daemonStdout, "daemon-stdout-file", "", "changes nothing without --daemon")
	flags.StringVar(&f.daemonStderr, "daemon-stderr-file", "", "changes nothing without --daemon")
	for _, name := range []string{
		"log-no-color", "continue-on-errors", "ignore-kubernetes-connection-failure",
		"daemon", "daemon-pid-file", "daemon-stdout-file", "daemon-stderr-file",
	} {
		flags.Lookup(name).Hidden = true
	}
}

// check refuses what would mislead: a script that waits for a process to go into the
// background would wait for ever.
func (f *upstreamFlags) check() error {
	if f.daemon {
		return errors.New("--daemon is on: the server stays in the foreground; " +
			"start it without --daemon under systemd, in a container, or with nohup")
	}
	return nil
}
