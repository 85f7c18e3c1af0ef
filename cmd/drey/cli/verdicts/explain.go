// Package verdicts holds the commands that decide on workloads as admission does: explain,
// check and audit.
package verdicts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// Commands returns the commands.
func Commands() []*cobra.Command {
	return []*cobra.Command{newExplainCommand(), newCheckCommand(), newAuditCommand()}
}

func newExplainCommand() *cobra.Command {
	var s source
	var format output.Format
	cmd := &cobra.Command{
		Use:   "explain TYPE/NAME | TYPE NAME | -f FILE",
		Short: "Explain the verdict and the labels of a workload",
		Long: `Explain how drey decides on a workload: the signals by which it is recognized, its
owners, the source of each label, the verdict, and the remedy.

TYPE and NAME name an object of the cluster as for kubectl get: TYPE is a resource, kind or
short name of any kind with pods that the cluster serves. -f reads manifests, without a
cluster. The registry is that of the running drey or of --targets, plus the registry's
objects among the manifests.`,
		Example: `  drey explain pod my-job-6d4b9c-x2x4z -n flink
  drey explain flinkdep/my-job -n flink
  drey explain -f job.yaml -n flink --targets targets.yaml`,
		Args: cobra.ArbitraryArgs, ValidArgsFunction: s.completeObject,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) > 0) == (len(s.files) > 0) {
				return command.WithCode(command.ExitUsage, errors.New("nothing to explain: give either TYPE/NAME or TYPE NAME of an object in the cluster, or -f FILE"))
			}
			references, err := kubectl.References(args)
			if err != nil {
				return err
			}
			manifests, known, err := s.read(cmd)
			if err != nil {
				return err
			}
			var all []verdict.Explanation
			if len(references) > 0 {
				s.isLive = true
				all, err = s.live(cmd.Context(), references, known)
			} else {
				all, err = s.offline(manifests, known)
			}
			if err != nil {
				return err
			}
			return s.printExplanations(output.Stdout(cmd), format, all)
		},
	}
	s.bind(cmd)
	format.Bind(cmd, output.Text, output.JSON)
	return cmd
}

// source is the input of explain, check and audit: manifests and a registry.
type source struct {
	client    client.Client
	reader    manifest.Reader
	files     []string
	targets   []string
	namespace string // default Kubernetes namespace; empty: that of kubectl's context

	isLive    bool   // the workloads are objects of the cluster
	inCluster bool   // the registry was read from the cluster
	platform  string // set if only this platform namespace was readable
}

func (s *source) bind(cmd *cobra.Command) {
	s.bindRegistry(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&s.files, "filename", "f", nil, "file or directory of manifests in YAML or JSON; - for standard input; repeatable")
	f.BoolP("recursive", "R", true, "accepted for compatibility with kubectl: directories are always read recursively")
	f.StringVarP(&s.namespace, "namespace", "n", "", "Kubernetes namespace of objects without one (default: that of kubectl's context)")
	command.Complete(cmd, "namespace", s.client.Kubectl.CompleteNamespaces)
}

// defaultNamespace is the Kubernetes namespace of objects without one.
func (s *source) defaultNamespace() string { return cmp.Or(s.namespace, s.client.Kubectl.Namespace()) }

// platformCandidates are the platform namespaces to read for a user who cannot list all
// of them: that of the workload and those of the environment and the context.
func (s *source) platformCandidates() []string {
	all := []string{s.defaultNamespace()}
	for _, n := range []string{os.Getenv("DREY_PLATFORM_NAMESPACE"), s.client.Kubectl.Namespace()} {
		if n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

func (s *source) bindRegistry(cmd *cobra.Command) {
	s.client.BindServer(cmd)
	cmd.Flags().StringArrayVar(&s.targets, "targets", nil, "file or directory of DeploymentTargets, Deployments and SessionClusters to use as the registry; repeatable (default: that of --server)")
}

// read reads the manifests of -f and the registry.
func (s *source) read(cmd *cobra.Command) ([]manifest.Manifest, verdict.Caches, error) {
	s.reader = manifest.Reader{Stdin: cmd.InOrStdin(), Command: cmd.CommandPath()}
	manifests, among, err := s.input()
	if err != nil {
		return nil, verdict.Caches{}, err
	}
	defer output.Stderr(cmd).Progress("Reading the registry")()
	known, err := s.registry(cmd.Context(), cmd, among)
	return manifests, known, err
}

// input reads the manifests of -f, and picks the registry's objects among them.
func (s *source) input() (manifests []manifest.Manifest, among []statedObject, err error) {
	if manifests, err = s.reader.Read(s.files); err != nil {
		return nil, nil, err
	}
	for _, m := range manifests {
		switch {
		case document.IsRegistryObject(m) && (m.APIVersion != "" || m.Kind == string(registry.DeploymentTarget)):
			o, err := document.FromManifest(m, s.defaultNamespace())
			if err != nil {
				return nil, nil, err
			}
			among = append(among, statedObject{o, m.String(), document.IsCustomResource(m)})
		case m.APIVersion == "":
			return nil, nil, fmt.Errorf("%s: apiVersion is missing; every Kubernetes object has apiVersion and kind", m)
		}
	}
	return manifests, among, nil
}

// registry reads the registry of --targets, else that of [client.choose]. The
// registry's objects among the manifests are applied to it; if they include a target
// and no registry is given or found, they are the registry.
func (s *source) registry(ctx context.Context, cmd *cobra.Command, among []statedObject) (verdict.Caches, error) {
	objects, err := s.registered(ctx, cmd)
	if err != nil && s.client.Automatic && slices.ContainsFunc(among, func(s statedObject) bool { return s.Kind == registry.DeploymentTarget }) {
		fmt.Fprintf(cmd.ErrOrStderr(), "Registry: the manifests alone; no other was readable: %v\n", cmp.Or(s.client.NoCluster, err))
		s.inCluster = slices.ContainsFunc(among, func(s statedObject) bool { return s.isCustomResource })
		objects, err = nil, nil
	}
	if err != nil {
		return verdict.Caches{}, err
	}
	return snapshotOf(ctx, server.PodNamespace(), objects, len(s.targets) == 0, among)
}

// registered reads the objects of the registry.
func (s *source) registered(ctx context.Context, cmd *cobra.Command) ([]registry.Object, error) {
	if len(s.targets) > 0 {
		return readRegistry(&s.reader, s.targets)
	}
	s.client.Choose(cmd.ErrOrStderr())
	if s.client.Server != client.InCluster {
		return s.client.Registry(ctx)
	}
	s.inCluster = true
	objects, err := s.clusterRegistry(ctx, cmd.ErrOrStderr())
	if err != nil {
		code := cmp.Or(command.CodeOf(err), command.ExitUnavailable)
		if refusal, ok := errors.AsType[*registry.Error](err); ok && refusal.Reason == registry.ReasonForbidden {
			code, err = command.ExitRefused, refusal
		}
		return nil, command.WithCode(code, fmt.Errorf("%w; or use --targets FILE", err))
	}
	return objects, nil
}

// clusterRegistry reads the registry in the cluster, and notes that it did.
func (s *source) clusterRegistry(ctx context.Context, notes io.Writer) ([]registry.Object, error) {
	config, err := s.client.Kubectl.Config()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	objects, err := kubestore.ListObjects(ctx, config, "")
	if registry.ReasonOf(err) == registry.ReasonForbidden {
		var read []string
		for _, platform := range s.platformCandidates() {
			some, refusal := kubestore.ListObjects(ctx, config, platform)
			if refusal == nil {
				objects, read = append(objects, some...), append(read, platform)
			} else if registry.ReasonOf(refusal) != registry.ReasonForbidden {
				return nil, refusal
			}
		}
		if len(read) > 0 {
			err, s.platform = nil, read[0]
			fmt.Fprintf(notes, "Registry: platform namespace %s in the cluster at %s; you cannot list others, which may have targets for the same Kubernetes namespace\n", strings.Join(read, " and "), config.Host)
		}
	}
	return objects, err
}

// offline explains the workloads of manifests.
func (s *source) offline(manifests []manifest.Manifest, known verdict.State) ([]verdict.Explanation, error) {
	decisions, err := s.decideAll(manifests, known)
	if err != nil {
		return nil, err
	}
	var all []verdict.Explanation
	for _, d := range decisions {
		all = append(all, d.Explain(s.registerHint()))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no workload in %s: %s read, and no pod, pod template or Flink custom resource", manifest.DisplayName(s.files...), output.Plural(len(manifests), "object"))
	}
	return all, nil
}

// decision is the verdict on the workload of a manifest.
type decision struct {
	manifest.Manifest
	verdict.Verdict
}

// onlyLabeled reports whether admission labels the object, and never denies it.
func (d decision) onlyLabeled() bool {
	return d.APIVersion == "v1" && (d.Kind == "Service" || d.Kind == "ConfigMap")
}

// decideAll decides on the workloads among manifests, which are created together. The errors of
// unreadable ones are joined.
func (s *source) decideAll(manifests []manifest.Manifest, known verdict.State) ([]decision, error) {
	var all []decision
	var workloads []flink.Workload
	var errs []error
	for _, m := range manifests {
		w, ok, err := s.recognize(m)
		if ok {
			all, workloads = append(all, decision{Manifest: m}), append(workloads, w)
		}
		errs = append(errs, err)
	}
	for i, v := range verdict.DecideAll(workloads, known) {
		all[i].Verdict = v
	}
	return all, errors.Join(errs...)
}

// recognize recognizes the workload of a manifest. ok is false if it is none.
func (s *source) recognize(m manifest.Manifest) (w flink.Workload, ok bool, err error) {
	if document.IsRegistryObject(m) {
		return w, false, nil
	}
	w, ok, err = webhook.Recognize(m.APIVersion, m.Kind, cmp.Or(m.Metadata.Namespace, s.defaultNamespace()), m.Text)
	if err != nil {
		return w, false, fmt.Errorf("%s: %w", m, manifest.FieldError(err))
	}
	if ok {
		w.Object.HeldAt = m.HeldAt
	}
	return w, ok, nil
}

// registerHint says in denials where to register a target.
func (s *source) registerHint() verdict.RegisterHint {
	return verdict.RegisterHint{URL: strings.TrimSuffix(cmp.Or(s.client.Server, client.Loopback), "/"), NeedsToken: s.client.HasToken(), CommandLine: true, InCluster: s.inCluster || s.client.Server == client.InCluster, PlatformNamespace: s.platform}
}

func (s *source) printExplanations(out io.Writer, format output.Format, all []verdict.Explanation) error {
	if format == output.JSON {
		return output.PrintJSON(out, all)
	}
	for i, e := range all {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := s.printExplanation(out, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) printExplanation(out io.Writer, e verdict.Explanation) error {
	fmt.Fprintf(out, "%s %s in namespace %s\n", e.Kind, cmp.Or(e.Name, "(unnamed)"), e.Namespace)
	list := output.NewList(out, "  ")
	row := func(name string, values ...string) {
		if value := strings.Join(values, ", "); value != "" {
			list.Row(name, value)
		}
	}
	row("verdict", cmp.Or(map[bool]string{true: "allowed"}[e.Allowed], "denied")+": "+string(e.Reason))
	row("recognized", describe(e))
	row("by", e.Signals...)
	row("owners", strings.Join(e.Owners, " < "))
	if err := list.Flush(); err != nil {
		return err
	}
	if len(e.Labels) > 0 {
		labels := output.NewList(out, "  ")
		labels.Row("LABEL", "VALUE", "", "FROM")
		for _, l := range e.Labels {
			labels.Row(l.Key, cmp.Or(l.Value, "-"), describeAction(l), l.From)
		}
		if err := labels.Flush(); err != nil {
			return err
		}
	}
	toDo := s.toDo(e)
	if toDo != "" {
		toDo = "to do: " + toDo
	}
	missing := ""
	if len(e.Missing) > 0 {
		missing = "not recognized as Flink: one of these signals suffices: " + strings.Join(e.Missing, "; ")
	}
	for _, text := range []string{e.Message, e.Warning, toDo, missing} {
		if text == "" {
			continue
		}
		if err := output.Message(out, "  ", text, e.Remedy); err != nil {
			return err
		}
	}
	return nil
}

// describe formats flavor, mode, role and strength.
func describe(e verdict.Explanation) string {
	var words []string
	for _, word := range []string{e.Flavor, e.Mode, e.Role} {
		if word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(append(words, "("+e.Strength+")"), " ")
}

func describeAction(l verdict.ExplainedLabel) string {
	switch l.Action {
	case verdict.ActionAdd:
		return "missing"
	case verdict.ActionPresent:
		return "present"
	case verdict.ActionKeep:
		return fmt.Sprintf("keeps %q", *l.Has)
	case verdict.ActionExclude:
		return "excluded"
	case verdict.ActionWrongMode:
		return fmt.Sprintf("wrong: %q", *l.Has)
	case verdict.ActionConflict:
		return fmt.Sprintf("conflicts with %q", *l.Has)
	}
	return "unknown"
}
