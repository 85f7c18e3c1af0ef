// Package cli is drey's command line: serve, the registry's client, the offline
// tools that read manifests, and the commands that install and maintain drey.
package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry/rest"
)

// New returns the root command of a build of drey.
func New(build rest.Build) *cobra.Command {
	root := onlyGroups(&cobra.Command{
		Use:           "drey",
		Short:         "Decide where Flink may run in a Kubernetes cluster, and label what runs there",
		Version:       build.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	if isPlugin() {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl drey"}
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newServeCommand(build), newApplyAllCommand(), newNamespacesCommand(), newJobsCommand(), newVersionCommand(build), newExplainCommand(), newCheckCommand(), newAuditCommand(), newDenialsCommand(), newWorkloadsCommand(), newUsageCommand(), newTokensCommand(), newBackupCommand(), newRestoreCommand(), newMigrateCommand(),
		newInstallCommand(), newUninstallCommand(), newStatusCommand(), newDoctorCommand(build.Version))
	for _, k := range objectKinds {
		root.AddCommand(newObjectCommand(k))
	}
	return root
}

// isPlugin reports whether kubectl runs this program, as `kubectl drey`.
func isPlugin() bool {
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "kubectl-drey"
}

// Exit codes, for scripts.
const (
	exitFailure     = 1 // any other error
	exitUsage       = 2 // the command line is wrong
	exitNotFound    = 3 // the object does not exist
	exitRefused     = 4 // the server refuses the request; a retry does not help
	exitUnavailable = 5 // the server is unreachable or overloaded; retry
	exitDenied      = 6 // check or audit --fail-on found a workload that admission would deny
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// ExitCode returns the exit code of the process for an error of a command.
func ExitCode(err error) int { return cmp.Or(codeOf(err), exitFailure) }

// codeOf returns the exit code that an error carries, or 0.
func codeOf(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	_, isOptions := errors.AsType[*server.OptionsError](err)
	_, isInput := errors.AsType[*manifest.InputError](err)
	if isOptions || isInput {
		return exitUsage
	}
	return 0
}

// usage gives the errors of an argument check their exit code.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}

// onlyGroups makes a command print its help without a subcommand, and refuse an
// unknown one.
func onlyGroups(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		meant := ""
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			meant = fmt.Sprintf(", did you mean %s", strings.Join(like, " or "))
		}
		return &exitError{exitUsage, fmt.Errorf("%q is not a command of %s%s: see %s --help", args[0], cmd.CommandPath(), meant, cmd.CommandPath())}
	}
	return cmd
}
