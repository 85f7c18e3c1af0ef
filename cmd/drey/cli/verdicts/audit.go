package verdicts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/output"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/controllers/repair"
	"drey.dev/drey/webhook/owners"
	"drey.dev/drey/webhook/verdict"
)

func newAuditCommand() *cobra.Command {
	var s source
	var format output.Format
	var failOn string
	var mend, dryRun bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Report Flink workloads that admission would deny or label differently",
		Long: `List the Flink workloads of the cluster and report those in namespaces without a
target, those with the id or the platform namespace of another, those that lack labels,
and pods whose labels contradict their process, such as the labels of a session cluster
on a pod of an application. Nothing is changed without --repair, which adds missing
labels and removes wrong ones.`,
		Example: `  drey audit
  drey audit --fail-on denied
  drey audit -n flink --repair --dry-run`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun && !mend {
				return command.WithCode(command.ExitUsage, errors.New("--dry-run requires --repair: without it, drey audit changes nothing"))
			}
			_, known, err := s.read(cmd)
			if err != nil {
				return err
			}
			if mend && s.platform != "" {
				return command.WithCode(command.ExitRefused, fmt.Errorf("--repair needs the targets of all platform namespaces, and you can list those of %s alone: "+
					"it requires list on deploymenttargets, deployments and sessionclusters of drey.dev in all namespaces", s.platform))
			}
			inspector, err := s.inspector(cmd, known)
			if err != nil {
				return err
			}
			skipped, err := s.skipForbidden(inspector)
			if err != nil {
				return err
			}
			a := audit{Findings: []auditFinding{}, Only: s.platform}
			var found []repair.Finding
			stop := output.Stderr(cmd).Progress("Listing the workloads of the cluster")
			err = inspector.Scan(cmd.Context(), s.namespace, func(f repair.Finding) {
				if f.Workload() {
					a.Workloads++
				}
				if _, conflicts := f.Conflict(); conflicts || f.Misplaced() || len(f.Missing()) > 0 || len(f.Wrong()) > 0 {
					found = append(found, f)
				}
			})
			stop()
			if apierrors.IsForbidden(err) {
				if s.namespace == "" {
					err = fmt.Errorf("%w; audit a namespace of your own: -n NAMESPACE", err)
				}
				return command.WithCode(command.ExitRefused, err)
			}
			if err != nil {
				return err
			}
			if kinds := skipped(); len(kinds) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "Skipped %s: you cannot list them.\n", strings.Join(kinds, ", "))
			}
			for _, f := range found {
				a.Findings = append(a.Findings, s.report(cmd.Context(), inspector, f, mend, dryRun))
			}
			if err := a.print(output.Stdout(cmd), format); err != nil {
				return err
			}
			return a.failure(failOn)
		},
	}
	s.bindRegistry(cmd)
	f := cmd.Flags()
	f.StringVarP(&s.namespace, "namespace", "n", "", "Kubernetes namespace (default: all)")
	command.Complete(cmd, "namespace", s.client.Kubectl.CompleteNamespaces)
	command.Choice(cmd, f, &failOn, "fail-on", "", fmt.Sprintf("%s, %s (workloads that admission would deny) or %s finding: exit with code %d", failOnNothing, failOnDenied, failOnAny, command.ExitDenied), failOnNothing, failOnDenied, failOnAny)
	f.BoolVar(&mend, "repair", false, "add missing labels and remove wrong ones")
	f.BoolVar(&dryRun, "dry-run", false, "with --repair: print the changes without making them")
	format.Bind(cmd, output.Table, output.JSON)
	return cmd
}

// The values of audit --fail-on.
const (
	failOnNothing = "none"
	failOnDenied  = "denied"
	failOnAny     = "any"
)

// failure returns an error if there are findings that --fail-on names.
func (a audit) failure(failOn string) error {
	n := 0
	for _, f := range a.Findings {
		if failOn == failOnAny || failOn == failOnDenied && f.denied {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return command.WithCode(command.ExitDenied, fmt.Errorf("%s of --fail-on %s", output.Plural(n, "finding"), failOn))
}

// inspector reads the cluster with the user's permissions.
func (s *source) inspector(cmd *cobra.Command, known verdict.Caches) (*repair.Inspector, error) {
	config, err := s.client.Kubectl.Config()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 100
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	finder, err := owners.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if known.Registered, err = registeredLabels(cmd.Context(), config); err != nil {
		return nil, err
	}
	if known.Running, err = watchUIDs(cmd, finder, meta); err != nil {
		return nil, err
	}
	return &repair.Inspector{Client: client, Metadata: meta, Owners: finder, Known: known, Exclude: webhookconfig.SystemNamespaces}, nil
}

// cacheSyncTimeout bounds the first lists of the owner cache.
const cacheSyncTimeout = 10 * time.Second

// watchUIDs fills the cache of the UIDs of all Flink workloads in the cluster, which no other
// object may have as an id. It returns nil if the user cannot list Deployments in all
// namespaces.
func watchUIDs(cmd *cobra.Command, finder *owners.Owners, meta metadata.Interface) (verdict.Workloads, error) {
	_, err := meta.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).List(cmd.Context(), metav1.ListOptions{Limit: 1})
	if apierrors.IsForbidden(err) {
		fmt.Fprintln(cmd.ErrOrStderr(), "You cannot list Deployments in all namespaces: ids of pods were compared with those of the registry only.")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	go finder.Run(cmd.Context())
	err = wait.PollUntilContextTimeout(cmd.Context(), 100*time.Millisecond, cacheSyncTimeout, true, func(context.Context) (bool, error) { return finder.Synced(), nil })
	if err != nil {
		return nil, errors.New("cannot list the cluster's Flink workloads in time: drey audit requires list and watch on Deployments, StatefulSets, Jobs and CronJobs in all namespaces")
	}
	return finder, nil
}

// skipForbidden makes a scan skip the kinds that the user cannot list, such as Flink's
// custom resources for an admin of one namespace. skipped returns those of them that
// the cluster serves.
func (s *source) skipForbidden(i *repair.Inspector) (skipped func() []string, err error) {
	config, err := s.client.Kubectl.Config()
	if err != nil {
		return nil, err
	}
	served, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	var kinds []string
	i.Skip = func(r schema.GroupVersionResource, err error) bool {
		if !apierrors.IsForbidden(err) {
			return false
		}
		list, err := served.ServerResourcesForGroupVersion(r.GroupVersion().String())
		if err != nil && !apierrors.IsNotFound(err) {
			kinds = append(kinds, r.GroupResource().String()) // possibly served
		} else if err == nil && slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == r.Resource }) {
			kinds = append(kinds, r.GroupResource().String())
		}
		return true
	}
	return func() []string { return kinds }, nil
}

// audit is the report of drey audit.
type audit struct {
	Workloads int            `json:"workloads"` // scanned Flink workloads
	Findings  []auditFinding `json:"findings"`
	Only      string         `json:"onlyPlatformNamespace,omitempty"` // set if only its targets were readable
}

type auditFinding struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Root      string   `json:"root,omitempty"`
	Finding   string   `json:"finding"` // the reason of a denial, Unlabeled or Mislabeled
	Missing   []string `json:"missing,omitempty"`
	Wrong     []string `json:"wrong,omitempty"` // labels that contradict the process
	Message   string   `json:"message,omitempty"`
	Result    string   `json:"result,omitempty"` // of --repair

	denied bool   // admission would deny it
	remedy string // the command in Message
}

// report returns the entry of a finding, repaired first if mend is set.
func (s *source) report(ctx context.Context, i *repair.Inspector, f repair.Finding, mend, dryRun bool) auditFinding {
	o, root := f.Verdict.Object(), f.Verdict.Root()
	r := auditFinding{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Finding: string(f.Verdict.Reason), Message: f.Verdict.Message(s.registerHint()), remedy: f.Verdict.Remedy(s.registerHint())}
	if root.Name != "" && root.Name != o.Name {
		r.Root = root.Kind + "/" + root.Name
	}
	if f.Misplaced() {
		r.denied = true
		return r
	}
	r.Finding = "Unlabeled"
	if v, conflicts := f.Conflict(); conflicts { // admitted because its owner has the same label
		r.denied = true
		r.Finding, r.Message, r.remedy = string(v.Reason), v.Message(s.registerHint()), v.Remedy(s.registerHint())
		if len(f.Missing()) == 0 && len(f.Wrong()) == 0 {
			return r
		}
	}
	for _, l := range f.Wrong() {
		if r.Message == "" {
			r.Finding = "Mislabeled"
		}
		r.Wrong = append(r.Wrong, l.Key+"="+l.Value)
	}
	for _, l := range f.Missing() {
		r.Missing = append(r.Missing, l.Key+"="+l.Value)
	}
	switch {
	case mend && dryRun:
		r.Result = "would be labeled"
	case mend && f.AwaitsOwner():
		r.Result = "pending: its owner is labeled first; run drey audit --repair again"
	case mend:
		r.Result = "labeled"
		if err := i.Correct(ctx, f); err != nil {
			r.Result = err.Error()
		}
	}
	return r
}

func (a audit) print(out io.Writer, format output.Format) error {
	if format == output.Table {
		return a.printTable(out)
	}
	return output.PrintJSON(out, a)
}

// removals formats labels as arguments of kubectl label that remove them.
func removals(labels []string) (all []string) {
	for _, l := range labels {
		key, _, _ := strings.Cut(l, "=")
		all = append(all, key+"-")
	}
	return all
}

func (a audit) printTable(out io.Writer) error {
	slices.SortStableFunc(a.Findings, func(x, y auditFinding) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Finding, y.Finding), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name))
	})
	table := output.NewTable(out, "NAMESPACE", "WORKLOAD", "ROOT", "FINDING", "LABELS")
	messages := map[string]auditFinding{} // one per namespace and finding: the others are equal
	for _, f := range a.Findings {
		table.Row(f.Namespace, f.Kind+"/"+f.Name, f.Root, f.Finding, strings.TrimSpace(strings.Join(append(append(removals(f.Wrong), f.Missing...), f.Result), " ")))
		if key := f.Namespace + " " + f.Finding; f.Message != "" && messages[key].Message == "" {
			messages[key] = f
		}
	}
	if len(a.Findings) > 0 {
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(messages)) {
		fmt.Fprintln(out)
		if err := output.Message(out, "", messages[key].Message, messages[key].remedy); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s, %s\n", output.Plural(a.Workloads, "Flink workload"), output.Plural(len(a.Findings), "finding"))
	return err
}
