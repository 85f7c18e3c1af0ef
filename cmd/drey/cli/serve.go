package cli

import (
	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry/rest"
)

func newServeCommand(build rest.Build) *cobra.Command {
	o := server.Options{Build: build}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the registry over REST and, with a cluster, the webhooks",
		Long: `Serve the registry of DeploymentTargets over REST and, with a cluster, the
webhooks that label Flink pods and keep Flink out of namespaces without a target.

The cluster is the one of --kubeconfig, or the one that drey runs in. Without
either, drey serves the registry alone.`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o.Out, o.LogOutput = c.OutOrStdout(), c.ErrOrStderr()
			return server.Run(c.Context(), o)
		},
	}
	o.BindFlags(c.Flags())
	return c
}
