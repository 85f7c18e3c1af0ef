// Package installation holds the commands of an installation: install, uninstall, doctor,
// status and version.
package installation

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/rest"
	webhookconfig "drey.dev/drey/webhook/config"
)

// Commands returns the commands of a build of drey.
func Commands(build rest.Build) []*cobra.Command {
	return []*cobra.Command{newInstallCommand(), newUninstallCommand(), newDoctorCommand(build.Version), newStatusCommand(), newVersionCommand(build)}
}

// rolloutOptions are the flags of install and uninstall.
type rolloutOptions struct {
	kubectl       kubectl.Cluster
	timeout       time.Duration
	dryRun, print bool
}

func (w *rolloutOptions) bind(cmd *cobra.Command, printed string) {
	f := cmd.Flags()
	w.kubectl.Bind(cmd, f)
	f.DurationVar(&w.timeout, "timeout", 5*time.Minute, "timeout of the whole command")
	f.BoolVar(&w.dryRun, "dry-run", false, "server-side dry run: validate without changes")
	f.BoolVar(&w.print, "print", false, printed)
	cmd.MarkFlagsMutuallyExclusive("dry-run", "print")
}

func (w *rolloutOptions) rollout(out io.Writer) (*rollout.Rollout, error) {
	config, err := w.kubectl.Config()
	if err != nil {
		return nil, err
	}
	return rollout.New(config, w.dryRun, func(object, result string) { fmt.Fprintln(out, object, result) })
}

func newInstallCommand() *cobra.Command {
	var w rolloutOptions
	o := bundle.Defaults()
	adopt := false
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install drey in a cluster, or upgrade it",
		Long: `Check the cluster, and apply the manifests in order: CRDs and the namespace, RBAC, the
server and, once it is ready, the webhook configurations and policies. While the server is not
ready, the reasons are printed as they appear. The command is idempotent.

Nothing is applied if the version of Kubernetes is too old, if a target namespace or
cert-manager is missing, if another drey is installed, or if Helm, Argo CD or Flux manages the
objects.`,
		Example: `  drey install --dry-run
  drey install --certs cert-manager --mode audit
  drey install --print > drey.yaml`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Store == bundle.Embedded && !cmd.Flags().Changed("replicas") {
				o.Replicas = 1
			}
			stages, err := bundle.Stages(o)
			if err != nil {
				return command.WithCode(command.ExitUsage, err)
			}
			if w.print {
				return printStages(output.Stdout(cmd), stages)
			}
			r, err := w.rollout(output.Stdout(cmd))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
			defer cancel()
			if !cmd.Flags().Changed("api-server-port") {
				if stages, err = withAPIServerPorts(ctx, r, o); err != nil {
					return err
				}
			}
			if err := r.Check(ctx, o, stages, adopt); err != nil {
				return fmt.Errorf("not installed: %w", err)
			}
			if err := r.Apply(ctx, stages); err != nil || w.dryRun {
				return err
			}
			return printNextStep(output.Stdout(cmd), o)
		},
	}
	w.bind(cmd, "print the manifests instead of applying them")
	f := cmd.Flags()
	f.StringVarP(&o.Namespace, "namespace", "n", o.Namespace, "drey's own namespace; created if it does not exist")
	f.StringVar(&o.Image, "image", o.Image, "image of drey")
	f.Int32Var(&o.Replicas, "replicas", o.Replicas, "number of replicas; 1 with --store embedded")
	command.Choice(cmd, f, &o.Certs, "certs", "", "issuer of the webhooks' certificate: self-signed (by drey) or cert-manager", bundle.SelfSigned, bundle.CertManager)
	command.Choice(cmd, f, &o.Store, "store", "", "store of the registry: kubernetes (custom resources) or embedded (a file on a volume)", bundle.Kubernetes, bundle.Embedded)
	f.StringVar(&o.VolumeSize, "volume-size", o.VolumeSize, "with --store embedded: size of the volume")
	command.Choice(cmd, f, &o.Mode, "mode", "", "enforce, warn or audit: deny violations, or admit them with a warning or an event", webhookconfig.Enforce, webhookconfig.Warn, webhookconfig.Audit)
	f.StringVar(&o.RESTURL, "rest-url", "", "external base URL of the REST API, for the commands in denials (default: that of the Service)")
	f.StringVar(&o.Contact, "contact", "", "contact for users without the permission to register a target, printed in denials, such as a URL or #data-platform")
	f.Int32SliceVar(&o.APIServerPorts, "api-server-port", nil, "port of the API server, to which the NetworkPolicy allows egress beside 443 and 6443 (default: those of the cluster; with --print none)")
	f.BoolVar(&adopt, "adopt", false, "take over objects that Helm, Argo CD or Flux manages")
	f.StringToStringVar(&o.NodeSelector, "node-selector", nil, "labels of the nodes for drey's pods, beside kubernetes.io/os=linux")
	f.Var((*tolerations)(&o.Tolerations), "toleration", "taint that drey's pods tolerate, as KEY[=VALUE][:EFFECT]; repeatable")
	f.StringSliceVar(&o.AggregateTo, "aggregate-to", o.AggregateTo, "ClusterRoles of Kubernetes that include drey's roles for people; without admin, bind drey-admin to the users that register targets")
	f.StringArrayVar(&o.TargetNamespaces, "target-namespace", nil, "existing namespace in which to create a ServiceAccount flink with the permissions of a Flink job; repeatable")
	for _, name := range []string{"namespace", "target-namespace"} {
		command.Complete(cmd, name, w.kubectl.CompleteNamespaces)
	}
	return cmd
}

// tolerations is a flag with a toleration each time.
type tolerations []corev1.Toleration

// String implements pflag.Value.
func (t *tolerations) String() string {
	var all []string
	for _, one := range *t {
		all = append(all, bundle.FormatToleration(one))
	}
	return strings.Join(all, ",")
}

// Set implements pflag.Value.
func (t *tolerations) Set(text string) error {
	one, err := bundle.ParseToleration(text)
	if err == nil {
		*t = append(*t, one)
	}
	return err
}

// Type implements pflag.Value.
func (t *tolerations) Type() string { return "taint" }

// withAPIServerPorts returns the objects with a NetworkPolicy that allows egress to the API
// server's ports.
func withAPIServerPorts(ctx context.Context, r *rollout.Rollout, o bundle.Options) ([]bundle.Stage, error) {
	ports, err := r.APIServerPorts(ctx)
	if err != nil {
		return nil, err
	}
	o.APIServerPorts = ports
	return bundle.Stages(o)
}

// printNextStep prints the state after an installation, and the commands that follow.
func printNextStep(out io.Writer, o bundle.Options) error {
	effect := map[webhookconfig.Mode]string{
		webhookconfig.Enforce: "new Flink workloads are denied in namespaces without a DeploymentTarget",
		webhookconfig.Warn:    "new Flink workloads in namespaces without a DeploymentTarget are admitted with a warning",
		webhookconfig.Audit:   "new Flink workloads in namespaces without a DeploymentTarget are admitted, with an event",
	}[o.Mode]
	register := "drey targets create NAME --kubernetes-namespace NAMESPACE --server cluster"
	if o.Store == bundle.Embedded {
		register = "drey targets create NAME --kubernetes-namespace NAMESPACE --server " + cmp.Or(o.RESTURL, fmt.Sprintf("https://%s.%s.svc:8443", bundle.Name, o.Namespace))
	}
	_, err := fmt.Fprintf(out, `
drey is ready in namespace %s, in mode %s: %s.
Next:
  %s    # register a namespace for Flink
  drey audit     # list the workloads that run in namespaces without a target
  drey doctor%s    # diagnose the installation
`, o.Namespace, o.Mode, effect, register, inNamespace(o.Namespace))
	return err
}

// inNamespace returns the flag -n of a command for drey's own namespace; empty for the default.
func inNamespace(namespace string) string {
	if namespace == bundle.Namespace {
		return ""
	}
	return " -n " + namespace
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
	var w rolloutOptions
	removal, confirmed := rollout.Removal{}, false
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove drey from a cluster",
		Long: `Remove the webhook configurations and policies, then the server, its RBAC, its namespace and
the labels on namespaces. The registry (custom resources and CRDs, or the volume of the embedded
store) is kept unless --purge is given, which lists the objects and prompts. Workloads and their
labels are not changed. For a drey outside the cluster, stop the process first: its webhooks and
policies are removed too.`,
		Example: `  drey uninstall --dry-run
  drey uninstall
  drey uninstall --purge`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if removal.AdmissionOnly && removal.Purge {
				return command.WithCode(command.ExitUsage, errors.New("--admission-only and --purge exclude each other: give one of them"))
			}
			if w.print {
				return printRemoval(output.Stdout(cmd), removal)
			}
			r, err := w.rollout(output.Stdout(cmd))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
			defer cancel()
			if removal.Purge && !w.dryRun && !confirmed {
				if found, err := w.installed(ctx, removal); err != nil || !found {
					return printNothing(cmd, removal, err)
				}
				if err := confirmPurge(ctx, cmd, w.kubectl); err != nil {
					return err
				}
			}
			if found, err := r.Remove(ctx, removal); err != nil || !found {
				return printNothing(cmd, removal, err)
			}
			return nil
		},
	}
	w.bind(cmd, "print kubectl commands for most of it instead of running them")
	f := cmd.Flags()
	f.StringVarP(&removal.Namespace, "namespace", "n", bundle.Namespace, "drey's own namespace")
	f.BoolVar(&removal.AdmissionOnly, "admission-only", false, "remove the webhook configurations and policies alone; drey keeps running and denies nothing")
	f.BoolVar(&removal.Purge, "purge", false, "also remove the registry, with all targets")
	f.BoolVarP(&confirmed, "yes", "y", false, "with --purge: do not ask")
	command.Complete(cmd, "namespace", w.kubectl.CompleteNamespaces)
	return cmd
}

// printNothing prints that a removal found no object, unless it failed.
func printNothing(cmd *cobra.Command, removal rollout.Removal, err error) error {
	if err == nil {
		_, err = fmt.Fprintf(output.Stdout(cmd), "nothing to remove: drey is not installed in namespace %s; another namespace: -n\n", removal.Namespace)
	}
	return err
}

// installed reports whether a removal finds an object.
func (w rolloutOptions) installed(ctx context.Context, removal rollout.Removal) (bool, error) {
	w.dryRun = true
	r, err := w.rollout(io.Discard)
	if err != nil {
		return false, err
	}
	return r.Remove(ctx, removal)
}

// confirmPurge lists what a purge deletes and reads a confirmation, unless there is nothing.
func confirmPurge(ctx context.Context, cmd *cobra.Command, kubectl kubectl.Cluster) error {
	config, err := kubectl.Config()
	if err != nil {
		return err
	}
	what := "the volume of the embedded store, if there is one"
	all, err := kubestore.ListObjects(ctx, config, "")
	switch {
	case errors.Is(err, kubestore.ErrNotServed): // without the definitions
	case err != nil:
		return fmt.Errorf("list the objects that --purge deletes: %w", err)
	case len(all) > 0:
		count := map[registry.Kind]int{}
		for _, o := range all {
			count[o.Kind]++
		}
		counted := func(kind registry.Kind) string { return output.Plural(count[kind], string(kind)) }
		what = fmt.Sprintf("%s, %s and %s of the registry, and %s", counted(registry.DeploymentTarget), counted(registry.Deployment), counted(registry.SessionCluster), what)
	}
	if _, err := fmt.Fprintf(output.Stdout(cmd), "--purge deletes %s. This cannot be undone. Type yes to continue: ", what); err != nil {
		return err
	}
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if strings.TrimSpace(answer) == "yes" {
		return nil
	}
	if errors.Is(err, io.EOF) && answer == "" {
		return command.WithCode(command.ExitUsage, errors.New("not confirmed: standard input is empty; nothing was removed; give --yes in scripts"))
	}
	return command.WithCode(command.ExitUsage, errors.New("not confirmed: nothing was removed"))
}

func printRemoval(out io.Writer, removal rollout.Removal) error {
	names, err := rollout.Names(removal)
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
