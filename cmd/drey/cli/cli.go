// Package cli is drey's command line: the root command, serve, and the exit code of an error.
// The packages below it hold the other commands.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

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

// helpWidth is the width of help, in characters.
const helpWidth = 100

// New returns the root command of a build of drey.
func New(build rest.Build) *cobra.Command {
	root := command.Group(&cobra.Command{
		Use:   "drey",
		Short: "Control which Kubernetes namespaces may run Flink, and label its workloads",
		Long: `Drey controls which Kubernetes namespaces may run Flink, and labels Flink workloads.

A DeploymentTarget registers a Kubernetes namespace for Flink, in a platform namespace, which
is a tenant of the registry. New Flink workloads in other namespaces are denied.

The registry is the first of these that applies; -v prints it:
  1. the files of --targets (explain, check and audit)
  2. --server, else $DREY_SERVER
  3. the cluster of kubectl's context, if it serves drey.dev/v1; kubectl drey always,
     drey tokens and drey version never
  4. http://127.0.0.1:8080

Exit codes:
  0  success
  1  any other error; doctor: a check failed
  2  invalid command line or input
  3  the object, or an installation of drey, does not exist
  4  the server rejected the request; do not retry
  5  the server is unreachable, overloaded or not ready; retry
  6  check or audit --fail-on found a workload that admission would deny
  130  interrupted, except -w and serve, which end with 0`,
		Example: `  drey install
  drey targets create prod --kubernetes-namespace flink-prod
  drey explain pod/my-job-6d4b9c-x2x4z -n flink-prod
  drey denials --since 1h`,
		Version:       build.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	output.BindColor(root)
	isPlugin := kubectl.IsPlugin()
	if isPlugin {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl drey"}
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return command.WithCode(command.ExitUsage, fmt.Errorf("%w: see %s --help", err, cmd.CommandPath()))
	})
	root.SetUsageTemplate(strings.NewReplacer(
		".LocalFlags.FlagUsages", fmt.Sprintf(".LocalFlags.FlagUsagesWrapped %d", helpWidth),
		".InheritedFlags.FlagUsages", fmt.Sprintf(".InheritedFlags.FlagUsagesWrapped %d", helpWidth),
	).Replace(root.UsageTemplate()))
	add := func(id, title string, commands []*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title + ":"})
		for _, c := range commands {
			c.GroupID = id
		}
		root.AddCommand(commands...)
	}
	add("registry", "Register where Flink may run", objects.Commands())
	add("verdicts", "Explain denials and labels", verdicts.Commands())
	add("observe", "List workloads and denials", observe.Commands())
	add("installation", "Install drey in a cluster", installation.Commands(build))
	add("server", "Run the server and maintain its store", append([]*cobra.Command{newServeCommand(build)}, stores.Commands()...))
	if isPlugin {
		exampleAsPlugin(root)
	}
	return root
}

// exampleAsPlugin shows the commands in examples as those of the kubectl plugin.
func exampleAsPlugin(cmd *cobra.Command) {
	cmd.Example = asPlugin.Replace(cmd.Example)
	for _, c := range cmd.Commands() {
		exampleAsPlugin(c)
	}
}

var asPlugin = strings.NewReplacer("  drey ", "  kubectl drey ", "| drey ", "| kubectl drey ")

// ExitCode returns the exit code of the process for an error of a command, which ctx interrupts.
func ExitCode(ctx context.Context, err error) int {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		return command.ExitInterrupted
	}
	code := command.CodeOf(err)
	_, isOptions := errors.AsType[*server.OptionsError](err)
	_, isInput := errors.AsType[*manifest.InputError](err)
	if code == 0 && (isOptions || isInput) {
		code = command.ExitUsage
	}
	return cmp.Or(code, command.ExitFailure)
}
