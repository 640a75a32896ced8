package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/kubewarden/kubewarden-operator/policyserver"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

func policyServerCommand() *cobra.Command {
	var flags policyServerFlags
	var asked versionFlags
	command := &cobra.Command{
		Use:   "policy-server",
		Short: "Answer admission requests by WebAssembly policies",
		Long: "Answer admission requests by WebAssembly policies.\n\n" +
			"Policies come from a file (--policies), or from a ConfigMap that an operator keeps\n" +
			"(--config-map). Both are followed: a change needs no restart.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if asked.asked() {
				return asked.print(command.OutOrStdout())
			}
			if err := flags.check(command.Flags()); err != nil {
				return err
			}
			return flags.run(command.Context())
		},
	}
	flags.define(command.Flags())
	asked.define(command.Flags())
	bindEnv(command, policyServerEnv)
	readVariables := command.PreRunE
	command.PreRunE = func(command *cobra.Command, arguments []string) error {
		if asked.asked() {
			return nil // whatever is wrong with a variable
		}
		return readVariables(command, arguments)
	}
	command.AddCommand(docsCommand(policyServerCommand))
	return command
}

// run serves until the process is told to stop.
func (f *policyServerFlags) run(ctx context.Context) (err error) {
	push, logger, err := f.telemetry(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// Not within ctx, which has ended by then.
		flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if failed := push.Shutdown(flushing); failed != nil && err == nil {
			logger.Warn("stop pushing", "error", failed) // no reason to end with an error
		}
	}()
	klog.SetSlogLogger(logger) // what the Kubernetes libraries log
	config, err := f.config(logger)
	if err != nil {
		return err
	}
	ctx, hurry, stop := stopSignals(ctx)
	defer stop()
	config.Push, config.Processors = push, spareProcessor()
	config.Memory = memoryBudget(os.DirFS("/"), os.Getenv, debug.SetMemoryLimit, logger)
	collectLess(ctx, os.Getenv, debug.SetGCPercent)
	policyServer, err := policyserver.New(ctx, config)
	if err != nil {
		return err
	}
	return policyServer.Run(ctx, hurry)
}

// spareProcessor gives Go one processor more than there are, so that one is left when policies
// run on all others, and returns how many those are. Of threads that want more than there is
// the kernel lets each have its turn, which Go cannot do while policies run.
func spareProcessor() int {
	processors := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(processors + 1)
	return processors
}

// telemetry opens what tells of this process: the log, and what is pushed to a collector.
func (f *policyServerFlags) telemetry(ctx context.Context) (*telemetry.Push, *slog.Logger, error) {
	logger, err := telemetry.NewLogger(os.Stdout, f.logFormat, f.logLevel)
	if err != nil {
		return nil, nil, err
	}
	environment := otelEnvironment{getenv: os.Getenv, readFile: os.ReadFile}
	config, err := environment.pushed(f.enableMetrics, f.logFormat)
	if err != nil {
		return nil, nil, err
	}
	if err := environment.setDefault(); err != nil {
		return nil, nil, err
	}
	config.Logger = logger
	push, err := telemetry.NewPush(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return push, push.Logger(logger), nil
}

// stopSignals gives a context that ends on SIGTERM and SIGINT, and one that ends when
// there is somebody who does not want to wait: on SIGINT, which comes from a terminal, and
// on a second signal of any kind.
func stopSignals(parent context.Context) (stopping, hurry context.Context, stop func()) {
	stopping, stopNow := context.WithCancel(parent)
	hurry, hurryNow := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for received := range signals {
			if received == syscall.SIGINT || stopping.Err() != nil {
				hurryNow()
			}
			stopNow()
		}
	}()
	return stopping, hurry, func() {
		signal.Stop(signals)
		close(signals)
		stopNow()
		hurryNow()
	}
}
