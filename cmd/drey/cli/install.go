package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/rollout"
	webhookconfig "drey.dev/drey/webhook/config"
)

// where says on which cluster to work, and how.
type where struct {
	kubectl       kubectlCluster
	timeout       time.Duration
	dryRun, print bool
}

func (w *where) bind(cmd *cobra.Command, printed string) {
	f := cmd.Flags()
	w.kubectl.bind(f)
	f.DurationVar(&w.timeout, "timeout", 5*time.Minute, "how long it may take")
	f.BoolVar(&w.dryRun, "dry-run", false, "have the API server check all of it, and change nothing")
	f.BoolVar(&w.print, "print", false, printed)
	cmd.MarkFlagsMutuallyExclusive("dry-run", "print")
}

func (w *where) rollout(out io.Writer) (*rollout.Rollout, error) {
	config, err := w.kubectl.config()
	if err != nil {
		return nil, err
	}
	return rollout.New(config, w.dryRun, func(what, became string) { fmt.Fprintln(out, what, became) })
}

func newInstallCommand() *cobra.Command {
	var w where
	o := bundle.Defaults()
	mode := string(o.Mode)
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Run drey in a cluster, or bring the one that runs there up to date",
		Long: `Apply what manifests/ has, in an order in which nothing is refused: definitions and
the namespace, rights, the server, and, once that is ready, the webhooks and
policies that call for it. It may be repeated.`,
		Example: `  drey install --dry-run
  drey install --certs cert-manager --mode audit
  drey install --print > drey.yaml`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Mode = webhookconfig.Mode(mode)
			if o.Store == bundle.Embedded && !cmd.Flags().Changed("replicas") {
				o.Replicas = 1
			}
			stages, err := bundle.Stages(o)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if w.print {
				return printStages(cmd.OutOrStdout(), stages)
			}
			r, err := w.rollout(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
			defer cancel()
			return r.Apply(ctx, stages)
		},
	}
	w.bind(cmd, "write the manifests to standard output, and reach no cluster")
	f := cmd.Flags()
	f.StringVarP(&o.Namespace, "namespace", "n", o.Namespace, "drey's own namespace; it is made if it is not there")
	f.StringVar(&o.Image, "image", o.Image, "image of drey")
	f.Int32Var(&o.Replicas, "replicas", o.Replicas, "how many replicas; 1 with --store embedded")
	f.StringVar(&o.Certs, "certs", o.Certs, "who makes the certificate of the webhooks: self-signed (drey) or cert-manager")
	f.StringVar(&o.Store, "store", o.Store, "where the registry is kept: kubernetes (custom resources) or embedded (a file on a volume)")
	f.StringVar(&o.VolumeSize, "volume-size", o.VolumeSize, "with --store embedded: size of the volume")
	f.StringVar(&mode, "mode", mode, "what becomes of a workload that may not run: enforce, warn or audit")
	f.StringVar(&o.RESTURL, "rest-url", "", "base URL at which people reach the REST API (default: that of the Service)")
	f.StringArrayVar(&o.TargetNamespaces, "target-namespace", nil, "a namespace that is there, in which Flink jobs get a ServiceAccount flink with their rights; may be given many times")
	return cmd
}

func printStages(out io.Writer, stages []bundle.Stage) error {
	for _, stage := range stages {
		for _, o := range stage.Objects {
			text, err := o.YAML()
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "---\n%s", text); err != nil {
				return err
			}
		}
	}
	return nil
}

func newUninstallCommand() *cobra.Command {
	var w where
	what := rollout.Removal{}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take drey out of a cluster: what calls it first",
		Long: `Remove the webhook configurations and policies, then the server, its rights and its
namespace, and the marks of namespaces. The registry stays unless --purge is given:
custom resources with their definitions, or the volume of the embedded store. No
workload is touched, and labels of pods stay.`,
		Example: `  drey uninstall --dry-run
  drey uninstall
  drey uninstall --purge`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if what.AdmissionOnly && what.Purge {
				return &exitError{exitUsage, errors.New("--admission-only leaves drey running, and --purge removes what it needs: give one of the two")}
			}
			if w.print {
				return printRemoval(cmd.OutOrStdout(), what)
			}
			r, err := w.rollout(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
			defer cancel()
			return r.Remove(ctx, what)
		},
	}
	w.bind(cmd, "write the kubectl commands that do most of it to standard output, and reach no cluster")
	f := cmd.Flags()
	f.StringVarP(&what.Namespace, "namespace", "n", bundle.Namespace, "drey's own namespace")
	f.BoolVar(&what.AdmissionOnly, "admission-only", false, "remove the webhook configurations and policies alone: drey goes on, and refuses nothing any more")
	f.BoolVar(&what.Purge, "purge", false, "remove the registry, too: every target that is registered")
	return cmd
}

func printRemoval(out io.Writer, what rollout.Removal) error {
	names, err := rollout.Names(what)
	if err != nil {
		return err
	}
	for _, n := range names {
		in := ""
		if n[1] != "" {
			in = " -n " + n[1]
		}
		if _, err := fmt.Fprintf(out, "kubectl delete --ignore-not-found %s%s\n", n[0], in); err != nil {
			return err
		}
	}
	return nil
}

func newStatusCommand() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask a drey whether it answers, and which version it is",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, _, err := c.do(cmd.Context(), "GET", "/api/v1/status/system-info", nil)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), cmp.Or(strings.TrimSpace(string(answer)), "it answers"))
			return err
		},
	}
	c.bindServer(cmd)
	return cmd
}
