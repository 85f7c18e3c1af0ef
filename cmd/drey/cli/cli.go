// Package cli is drey's command line: the root command, serve, and the exit code of an error.
// The packages below it hold the other commands.
package cli

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/installation"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/cmd/drey/cli/objects"
	"drey.dev/drey/cmd/drey/cli/observe"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/cmd/drey/cli/stores"
	"drey.dev/drey/cmd/drey/cli/verdicts"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry/rest"
)

// New returns the root command of a build of drey.
func New(build rest.Build) *cobra.Command {
	root := command.Group(&cobra.Command{
		Use:           "drey",
		Short:         "Decide where Flink may run in a Kubernetes cluster, and label what runs there",
		Version:       build.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	output.BindColor(root)
	if kubectl.IsPlugin() {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl drey"}
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return command.WithCode(command.ExitUsage, fmt.Errorf("%w: see %s --help", err, cmd.CommandPath()))
	})
	root.AddCommand(newServeCommand(build))
	root.AddCommand(objects.Commands()...)
	root.AddCommand(verdicts.Commands()...)
	root.AddCommand(observe.Commands()...)
	root.AddCommand(installation.Commands(build)...)
	root.AddCommand(stores.Commands()...)
	return root
}

// ExitCode returns the exit code of the process for an error of a command.
func ExitCode(err error) int {
	code := command.CodeOf(err)
	_, isOptions := errors.AsType[*server.OptionsError](err)
	_, isInput := errors.AsType[*manifest.InputError](err)
	if code == 0 && (isOptions || isInput) {
		code = command.ExitUsage
	}
	return cmp.Or(code, command.ExitFailure)
}
