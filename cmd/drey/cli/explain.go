package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/owners"
	"drey.dev/drey/webhook/verdict"
)

func newExplainCommand() *cobra.Command {
	var q question
	var format string
	cmd := &cobra.Command{
		Use:   "explain KIND/NAME | explain -f FILE",
		Short: "Say what drey makes of a workload, and why",
		Long: `Say what drey makes of a workload: what it was recognized by, who owns it, where
each label comes from, and whether it may run.

KIND/NAME is an object of the cluster, such as pod/my-job-6d4b9c-x2x4z; -f takes
manifests, without a cluster: every pod template, whatever its kind. The registry is
that of the running drey, or of --targets, with what the manifests add to it.`,
		Example: `  drey explain pod/my-job-6d4b9c-x2x4z -n flink
  drey explain -f job.yaml -n flink --targets targets.yaml`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (len(q.files) > 0) {
				return &exitError{exitUsage, errors.New("say what to explain: KIND/NAME for an object of the cluster, or -f FILE")}
			}
			if err := checkFormat(format, "text", "json"); err != nil {
				return err
			}
			manifests, known, err := q.read(cmd)
			if err != nil {
				return err
			}
			var all []verdict.Explanation
			if len(args) == 1 {
				all, err = q.live(cmd.Context(), args[0], known)
			} else {
				all, err = q.offline(manifests, known)
			}
			if err != nil {
				return err
			}
			return printExplanations(cmd.OutOrStdout(), format, all)
		},
	}
	q.bind(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

// question is what explain and check have in common: what they look at, and which
// registry they ask.
type question struct {
	client    client
	reader    manifestReader
	files     []string
	targets   []string
	namespace string // the Kubernetes namespace of what does not say; empty: see place

	inCluster bool   // the registry is the cluster's
	noCluster error  // why it is not
	platform  string // the platform namespace that alone the person may see; empty: they see all
}

func (q *question) bind(cmd *cobra.Command) {
	q.bindRegistry(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&q.files, "filename", "f", nil, "file or directory with manifests in YAML or JSON, as kubectl reads them; - is standard input; may be given many times")
	f.StringVarP(&q.namespace, "namespace", "n", "", "Kubernetes namespace of what does not say where it is (default: that of kubectl's context)")
}

// place is the Kubernetes namespace of what does not say where it is.
func (q *question) place() string { return cmp.Or(q.namespace, q.client.kubectl.namespace()) }

// platforms are the platform namespaces that may be meant by somebody who may not see
// all of them: that which was asked about, and those in which they work.
func (q *question) platforms() []string {
	all := []string{q.place()}
	for _, n := range []string{os.Getenv("DREY_NAMESPACE"), q.client.kubectl.namespace()} {
		if n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

func (q *question) bindRegistry(cmd *cobra.Command) {
	q.client.bindServer(cmd)
	cmd.Flags().StringArrayVar(&q.targets, "targets", nil, "file or directory with DeploymentTargets, and Deployments and SessionClusters if they matter, to take for the registry's; may be given many times (default: those of --server, if it is given; of the cluster, if it keeps them; of a drey on this machine)")
}

// read reads the manifests of -f, and the registry.
func (q *question) read(cmd *cobra.Command) ([]manifest, snapshot, error) {
	q.reader = manifestReader{stdin: cmd.InOrStdin(), command: cmd.CommandPath()}
	manifests, among, err := q.input()
	if err != nil {
		return nil, snapshot{}, err
	}
	known, err := q.registry(cmd.Context(), cmd, among)
	return manifests, known, err
}

// input reads the manifests of -f, and the objects of the registry among them.
func (q *question) input() (manifests []manifest, among []stated, err error) {
	if manifests, err = q.reader.read(q.files); err != nil {
		return nil, nil, err
	}
	for _, m := range manifests {
		switch {
		case m.isRegistryObject() && (m.APIVersion != "" || m.Kind == string(registry.DeploymentTarget)):
			o, err := m.registryObject(q.place())
			if err != nil {
				return nil, nil, err
			}
			among = append(among, stated{o, m.where(), m.isCustomResource()})
		case m.APIVersion == "":
			return nil, nil, fmt.Errorf("%s: apiVersion is missing; every Kubernetes object has apiVersion and kind", m.where())
		}
	}
	return manifests, among, nil
}

// registry is that of --targets; else of the drey that --server or its environment
// names; else, if the cluster that kubectl would use keeps one, that; else of a drey on
// this machine. The objects among the manifests are applied to it. Where they have a
// target and no registry is named or found, they are all of it.
func (q *question) registry(ctx context.Context, cmd *cobra.Command, among []stated) (snapshot, error) {
	objects, err := q.registered(ctx, cmd)
	named := len(q.targets) > 0 || cmd.Flags().Changed("server") || os.Getenv("DREY_SERVER") != ""
	if err != nil && !named && slices.ContainsFunc(among, func(s stated) bool { return s.Kind == registry.DeploymentTarget }) {
		fmt.Fprintf(cmd.ErrOrStderr(), "The targets are those among the manifests alone, since no registry was read: %v\n", cmp.Or(q.noCluster, err))
		q.inCluster = slices.ContainsFunc(among, func(s stated) bool { return s.isCustomResource })
		objects, err = nil, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	return snapshotOf(ctx, server.PodNamespace(), objects, len(q.targets) == 0, among)
}

// registered are the objects of the registry that was named, or found.
func (q *question) registered(ctx context.Context, cmd *cobra.Command) ([]registry.Object, error) {
	if len(q.targets) > 0 {
		return readRegistry(&q.reader, q.targets)
	}
	asked := q.client.server == serverCluster
	if asked || !cmd.Flags().Changed("server") && os.Getenv("DREY_SERVER") == "" {
		objects, err := q.clusterRegistry(ctx, cmd.ErrOrStderr())
		if err == nil {
			q.inCluster = true
			return objects, nil
		}
		if asked {
			code := cmp.Or(codeOf(err), exitUnavailable)
			if refusal, ok := errors.AsType[*registry.Error](err); ok && refusal.Reason == registry.ReasonForbidden {
				code, err = exitRefused, refusal
			}
			return nil, &exitError{code, fmt.Errorf("%w. Or give --targets FILE", err)}
		}
		q.noCluster = err
	}
	objects, err := q.client.fetchRegistry(ctx)
	if err != nil && q.noCluster != nil {
		err = fmt.Errorf("%w. The cluster's own was not read either: %w", err, q.noCluster)
	}
	return objects, err
}

// clusterRegistry reads the registry that the cluster keeps, and says so: another may
// have been meant.
func (q *question) clusterRegistry(ctx context.Context, notes io.Writer) ([]registry.Object, error) {
	config, err := q.client.kubectl.config()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	objects, err := kubestore.Objects(ctx, config, "")
	if err == nil {
		fmt.Fprintf(notes, "The targets are those in the cluster at %s.\n", config.Host)
	}
	if registry.ReasonOf(err) == registry.ReasonForbidden {
		var read []string
		for _, platform := range q.platforms() {
			some, refusal := kubestore.Objects(ctx, config, platform)
			if refusal == nil {
				objects, read = append(objects, some...), append(read, platform)
			} else if registry.ReasonOf(refusal) != registry.ReasonForbidden {
				return nil, refusal
			}
		}
		if len(read) > 0 {
			err, q.platform = nil, read[0]
			fmt.Fprintf(notes, "The targets are those of platform namespace %s in the cluster at %s: you may not list those of others, which may have some for the same Kubernetes namespace.\n", strings.Join(read, " and "), config.Host)
		}
	}
	return objects, err
}

// offline explains the workloads among manifests.
func (q *question) offline(manifests []manifest, known verdict.State) ([]verdict.Explanation, error) {
	var all []verdict.Explanation
	var errs []error
	for _, m := range manifests {
		v, ok, err := q.decide(m, known)
		if ok {
			all = append(all, v.Explain(q.address()))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("none of the %d objects in %s runs Flink: there is no pod, no pod template and no custom resource of Flink's", len(manifests), strings.Join(q.files, ", "))
	}
	return all, nil
}

// decide decides on a manifest. ok is false where there is nothing to decide.
func (q *question) decide(m manifest, known verdict.State) (v verdict.Verdict, ok bool, err error) {
	if m.isRegistryObject() {
		return v, false, nil
	}
	w, ok, err := webhook.Recognize(m.APIVersion, m.Kind, cmp.Or(m.Metadata.Namespace, q.place()), m.text)
	if err != nil {
		return v, false, fmt.Errorf("%s: %w", m.where(), fieldError(err))
	}
	if !ok {
		return v, false, nil
	}
	return verdict.Decide(w, known), true, nil
}

func (q *question) address() verdict.RegisterHint {
	return verdict.RegisterHint{URL: strings.TrimSuffix(q.client.server, "/"), NeedsToken: q.client.hasToken(), InCluster: q.inCluster || q.client.server == serverCluster, PlatformNamespace: q.platform}
}

// live explains one object of the cluster, with its owners.
func (q *question) live(ctx context.Context, which string, known snapshot) ([]verdict.Explanation, error) {
	config, err := q.client.kubectl.config()
	if err != nil {
		return nil, err
	}
	m, err := getObject(ctx, config, q.place(), which)
	if err != nil {
		return nil, err
	}
	w, ok, err := webhook.Recognize(m.APIVersion, m.Kind, q.place(), m.text)
	if err != nil || !ok {
		return nil, errors.Join(err, &exitError{exitUsage, fmt.Errorf("%s: drey is not asked about such objects", which)})
	}
	finder, err := owners.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	known.owners = finder
	if known.marked, err = readMarks(ctx, config); err != nil {
		return nil, err
	}
	if w.Recognized() {
		w, _ = webhook.WithOwners(ctx, w, finder, known)
	}
	return []verdict.Explanation{verdict.Decide(w, known).Explain(q.address())}, nil
}

func printExplanations(out io.Writer, format string, all []verdict.Explanation) error {
	switch format {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(all)
	case "text":
		for i, e := range all {
			if i > 0 {
				fmt.Fprintln(out)
			}
			if err := printExplanation(out, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func printExplanation(out io.Writer, e verdict.Explanation) error {
	fmt.Fprintf(out, "%s %s in namespace %s\n", e.Kind, orElse(e.Name, "without a name"), e.Namespace)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(name string, values ...string) {
		if value := strings.Join(values, ", "); value != "" {
			fmt.Fprintf(w, "  %s\t%s\n", name, value)
		}
	}
	row("verdict", orElse(map[bool]string{true: "allowed"}[e.Allowed], "denied")+": "+string(e.Reason))
	row("recognized", describe(e))
	row("by", e.Signals...)
	row("owners", e.Owners...)
	if err := w.Flush(); err != nil {
		return err
	}
	if len(e.Labels) > 0 {
		fmt.Fprintln(w, "  LABEL\tVALUE\t\tFROM")
		for _, l := range e.Labels {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", l.Key, orElse(l.Value, "-"), describeAction(l), l.From)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, text := range []string{e.Message, e.Warning} {
		if text != "" {
			fmt.Fprintf(out, "  %s\n", text)
		}
	}
	return nil
}

// describe says what was recognized.
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
		return "is missing"
	case verdict.ActionPresent:
		return "is there"
	case verdict.ActionKeep:
		return fmt.Sprintf("stays %q", *l.Has)
	case verdict.ActionExclude:
		return "is left off"
	case verdict.ActionWrongMode:
		return fmt.Sprintf("is wrong: %q", *l.Has)
	case verdict.ActionConflict:
		return fmt.Sprintf("conflicts with %q", *l.Has)
	}
	return "is not known"
}
