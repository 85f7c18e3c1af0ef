package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry/rest"
)

func newServeCommand(build rest.Build) *cobra.Command {
	o := server.Options{Build: build}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the registry over REST and, with a cluster, the webhooks",
		Long: `Serve the registry of DeploymentTargets over REST and, with a cluster, the
webhooks that label Flink pods and deny Flink in namespaces without a target.

The cluster is the one of --kubeconfig, or the one that drey runs in. Without
either, drey serves the registry alone. Flags override the configuration file of --config.`,
		Example: `  drey serve
  drey serve --config drey.yaml
  drey serve --kubeconfig kubeconfig --install-webhooks`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o.Out, o.LogOutput = c.OutOrStdout(), c.ErrOrStderr()
			return server.Run(c.Context(), &o)
		},
	}
	sections := o.Flags()
	for _, s := range sections {
		c.Flags().AddFlagSet(s.FlagSet)
	}
	c.SetUsageFunc(func(c *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n\nExamples:\n%s\n", c.UseLine(), c.Example)
		for _, s := range sections {
			fmt.Fprintf(&b, "\n%s:\n%s", s.Title, s.FlagUsagesWrapped(helpWidth))
		}
		_, err := io.WriteString(c.OutOrStderr(), b.String())
		return err
	})
	return c
}
