package main

import "github.com/spf13/cobra"

// version is set by the linker: -X main.version=1.2.3.
var version = "0.0.0-dev"

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubewarden",
		Short:         "Kubernetes admission policies as WebAssembly modules",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(operatorCommand(), auditScannerCommand(), policyServerCommand())
	return root
}
