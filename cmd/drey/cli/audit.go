package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/controllers/repair"
	"drey.dev/drey/webhook/owners"
)

func newAuditCommand() *cobra.Command {
	var q question
	var format string
	var mend, dryRun bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Report what runs in the cluster that the webhooks would not have let in, or have labeled",
		Long: `Look at all of Flink that is in the cluster, and report what runs where it may not,
what lacks labels, and pods with labels that their process contradicts: those of a
session cluster on a pod of an application, as an earlier version set them. Nothing is
changed without --repair, which adds what is missing and takes off what is wrong.`,
		Example: `  drey audit
  drey audit -n flink --repair --dry-run`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun && !mend {
				return &exitError{exitUsage, errors.New("--dry-run goes with --repair: alone, drey audit changes nothing anyhow")}
			}
			_, known, err := q.read(cmd)
			if err != nil {
				return err
			}
			if mend && q.platform != "" {
				return &exitError{exitRefused, fmt.Errorf("--repair would go by the targets of platform namespace %s alone, and what runs may be another's: "+
					"let somebody repair who may list deploymenttargets, deployments and sessionclusters of drey.dev in all namespaces", q.platform)}
			}
			inspector, err := q.inspector(cmd.Context(), known)
			if err != nil {
				return err
			}
			unseen, err := q.skipUnseen(inspector)
			if err != nil {
				return err
			}
			a := audit{Findings: []auditFinding{}, Only: q.platform}
			var found []repair.Finding
			err = inspector.Scan(cmd.Context(), q.namespace, func(f repair.Finding) {
				if f.Workload() {
					a.Workloads++
				}
				if f.Misplaced() || len(f.Missing()) > 0 || len(f.Wrong()) > 0 {
					found = append(found, f)
				}
			})
			if apierrors.IsForbidden(err) {
				if q.namespace == "" {
					err = fmt.Errorf("%w. Look in a namespace of your own: -n NAMESPACE", err)
				}
				return &exitError{exitRefused, err}
			}
			if err != nil {
				return err
			}
			if kinds := unseen(); len(kinds) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "You may not list %s: what there is of them was not looked at.\n", strings.Join(kinds, ", "))
			}
			for _, f := range found {
				a.Findings = append(a.Findings, q.report(cmd.Context(), inspector, f, mend, dryRun))
			}
			return a.print(cmd.OutOrStdout(), format)
		},
	}
	q.bindRegistry(cmd)
	f := cmd.Flags()
	f.StringVarP(&q.namespace, "namespace", "n", "", "look in this Kubernetes namespace alone")
	f.BoolVar(&mend, "repair", false, "add the labels that are missing, and take off those that are wrong")
	f.BoolVar(&dryRun, "dry-run", false, "with --repair: say what would be added, and add nothing")
	f.StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

// inspector looks at the cluster as the person may.
func (q *question) inspector(ctx context.Context, known snapshot) (*repair.Inspector, error) {
	config, err := q.client.kubectl.config()
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
	if known.marked, err = readMarks(ctx, config); err != nil {
		return nil, err
	}
	return &repair.Inspector{Client: client, Metadata: meta, Owners: finder, Known: known, Exclude: webhookconfig.SystemNamespaces}, nil
}

// skipUnseen has a scan go on without Services, ConfigMaps and Flink's custom resources
// of those kinds that the person may not list: who administers one namespace seldom
// may. unseen are those of
// them that the cluster serves.
func (q *question) skipUnseen(i *repair.Inspector) (unseen func() []string, err error) {
	config, err := q.client.kubectl.config()
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
			kinds = append(kinds, r.GroupResource().String()) // it may be
		} else if err == nil && slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == r.Resource }) {
			kinds = append(kinds, r.GroupResource().String())
		}
		return true
	}
	return func() []string { return kinds }, nil
}

// audit is the report.
type audit struct {
	Workloads int            `json:"workloads"` // of Flink's that were looked at
	Findings  []auditFinding `json:"findings"`
	Only      string         `json:"onlyPlatformNamespace,omitempty"` // by whose targets alone it was decided
}

type auditFinding struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Root      string   `json:"root,omitempty"`
	Finding   string   `json:"finding"` // the reason of a denial, Unlabeled or Mislabeled
	Missing   []string `json:"missing,omitempty"`
	Wrong     []string `json:"wrong,omitempty"` // labels that its process contradicts
	Message   string   `json:"message,omitempty"`
	Result    string   `json:"result,omitempty"` // of --repair
}

// report words a finding, after it has been mended if that was asked for.
func (q *question) report(ctx context.Context, i *repair.Inspector, f repair.Finding, mend, dryRun bool) auditFinding {
	o, root := f.Verdict.Object(), f.Verdict.Root()
	r := auditFinding{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Finding: string(f.Verdict.Reason), Message: f.Verdict.Message(q.address())}
	if root.Name != "" && root.Name != o.Name {
		r.Root = root.Kind + "/" + root.Name
	}
	if f.Misplaced() {
		return r
	}
	r.Finding = "Unlabeled"
	for _, l := range f.Wrong() {
		r.Finding = "Mislabeled"
		r.Wrong = append(r.Wrong, l.Key+"="+l.Value)
	}
	for _, l := range f.Missing() {
		r.Missing = append(r.Missing, l.Key+"="+l.Value)
	}
	switch {
	case mend && dryRun:
		r.Result = "would be labeled"
	case mend && f.Early():
		r.Result = "is labeled after its owner: run drey audit --repair again"
	case mend:
		r.Result = "labeled"
		if err := i.Mend(ctx, f); err != nil {
			r.Result = err.Error()
		}
	}
	return r
}

func (a audit) print(out io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(a)
	case "table":
		return a.printTable(out)
	}
	return &exitError{exitUsage, fmt.Errorf("-o %s: want table or json", format)}
}

// crossedOut are labels as kubectl label takes them off.
func crossedOut(labels []string) (all []string) {
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
	w := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
	if len(a.Findings) > 0 {
		fmt.Fprintln(w, "NAMESPACE\tWORKLOAD\tOF\tFINDING\t")
	}
	messages := map[string]string{} // one for each namespace and finding: they say the same
	for _, f := range a.Findings {
		fmt.Fprintf(w, "%s\t%s/%s\t%s\t%s\t%s\n", f.Namespace, f.Kind, f.Name, orElse(f.Root, "-"), f.Finding, strings.Join(append(append(crossedOut(f.Wrong), f.Missing...), f.Result), " "))
		if key := f.Namespace + " " + f.Finding; f.Message != "" && messages[key] == "" {
			messages[key] = f.Message
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(messages)) {
		fmt.Fprintf(out, "\n%s\n", messages[key])
	}
	_, err := fmt.Fprintf(out, "%d workloads of Flink's, %d findings\n", a.Workloads, len(a.Findings))
	return err
}
