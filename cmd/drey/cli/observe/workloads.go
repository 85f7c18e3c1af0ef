package observe

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/duration"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
)

func newWorkloadsCommand() *cobra.Command {
	var o observeFlags
	var unhealthy bool
	var order string
	cmd := &cobra.Command{
		Use:   "workloads",
		Short: "List the Flink workloads of the cluster",
		Long: `List the workloads of the cluster, by namespace: the target, the root owner, the
Deployment or SessionCluster, pods and requests. The column NOTE shows workloads in
namespaces without a target, and labels that are missing or contradict each other.`,
		Example: `  drey workloads --target prod
  kubectl drey workloads -A -o wide
  drey workloads -n flink -w`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := inventory.Query{Filter: o.workloadFilter(), Sort: order}
			q.Unhealthy = unhealthy
			from := o.open()
			stop := o.progress(cmd)
			page, err := from.workloads(cmd.Context(), q)
			stop()
			if err != nil {
				return err
			}
			one, err := o.workloadPrinter().print(&o, output.Stdout(cmd), page.Items)
			if err != nil || !o.watch {
				return err
			}
			shown := newShown(page.Items, inventory.Workload.Key, func(w inventory.Workload, deleted bool) error {
				if deleted {
					w.State = "Deleted"
				}
				return one(w)
			})
			if o.format == output.Table || o.format == output.Name { // do not show the use, which changes each minute
				shown.compared = func(w inventory.Workload) inventory.Workload { w.Use = nil; return w }
			}
			list := func(ctx context.Context) error {
				page, err := from.workloads(ctx, q)
				if err != nil {
					return err
				}
				return shown.replace(page.Items)
			}
			return from.watch(cmd.Context(), list, func(c *inventory.Change, _ *denials.Change) error {
				if c == nil || !q.Selects(c.Value) && !shown.has(c.Value) {
					return nil
				}
				return shown.change(c.Value, c.Deleted)
			})
		},
	}
	o.bind(cmd, output.Table, output.Wide, output.JSON, output.YAML, output.Name)
	o.bindTarget(cmd)
	f := cmd.Flags()
	f.BoolVar(&unhealthy, "unhealthy", false, "only misplaced workloads, and those with missing or conflicting labels")
	f.StringVar(&order, "sort-by", "", "one of "+strings.Join(inventory.Sorts, ", ")+" (default: namespace and owner)")
	f.BoolVarP(&o.watch, "watch", "w", false, "print changes as they come, until interrupted")
	command.Complete(cmd, "sort-by", cobra.FixedCompletions(inventory.Sorts, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// bindTarget adds the flag --target.
func (o *observeFlags) bindTarget(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.target, "target", "", "only workloads of the DeploymentTarget with this name")
	command.Complete(cmd, "target", o.client.Completion(o.client.TargetNames))
}

func (o *observeFlags) workloadFilter() inventory.Filter {
	return inventory.Filter{PlatformNamespace: o.client.PlatformNamespace, Namespace: o.kubernetesNamespace(), Target: o.target}
}

func (o *observeFlags) workloadPrinter() printer[inventory.Workload] {
	header := []string{"NAMESPACE", "OWNER", "PLATFORM NAMESPACE", "TARGET", "MODE", "STATE", "PODS", "CPU", "MEMORY", "AGE", "NOTE"}
	if o.format == output.Wide {
		header = slices.Insert(header, len(header)-1, "FLAVOR", "DEPLOYMENT OR SESSION CLUSTER", "ID", "JOB ID", "CPU USE", "MEMORY USE")
	}
	cells := func(w inventory.Workload) []string {
		row := []string{
			w.Namespace, w.Owner.Kind + "/" + w.Owner.Name, w.PlatformNamespace, w.Target, w.Mode, w.State, fmt.Sprintf("%d/%d", w.PodsReady, w.Pods),
			cpu(&w.Requests), memory(&w.Requests), duration.HumanDuration(time.Since(w.Since)),
		}
		if o.format == output.Wide {
			object := ""
			if w.Kind != "" {
				object = w.Kind + "/" + w.Name
			}
			row = append(row, w.Flavor, object, w.ID, w.JobID, cpu(w.Use), memory(w.Use))
		}
		return append(row, note(w))
	}
	return printer[inventory.Workload]{
		listKind: "WorkloadList", none: "No workloads found.", lastBelow: true, header: header, cells: cells,
		name: func(w inventory.Workload) (kind, name string) { return w.Owner.Kind, w.Owner.Name },
	}
}

// note describes the faults of a workload.
func note(w inventory.Workload) string {
	var notes []string
	if w.Misplaced {
		notes = append(notes, "no target")
	}
	if len(w.MissingLabels) > 0 {
		notes = append(notes, "missing "+strings.Join(w.MissingLabels, ","))
	}
	if len(w.ConflictingLabels) > 0 {
		notes = append(notes, "conflicting "+strings.Join(w.ConflictingLabels, ","))
	}
	return strings.Join(notes, "; ")
}

// cpu formats CPU as kubectl top does.
func cpu(r *inventory.Resources) string {
	if r == nil {
		return ""
	}
	return strconv.FormatInt(r.MilliCPU, 10) + "m"
}

// memory formats memory as kubectl top does.
func memory(r *inventory.Resources) string {
	if r == nil {
		return ""
	}
	const mebi = 1 << 20
	return resource.NewQuantity((r.Memory+mebi-1)/mebi*mebi, resource.BinarySI).String()
}

func newUsageCommand() *cobra.Command {
	var o observeFlags
	var by inventory.GroupBy
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Sum the resource requests and usage of Flink workloads",
		Long: `Sum the CPU and memory that Flink pods request, by target, platform namespace or
Deployment, and their use where the cluster serves metrics.k8s.io.`,
		Example: `  drey usage
  drey usage --by deployment --platform-namespace team-a -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop := o.progress(cmd)
			totals, err := o.open().usage(cmd.Context(), by, o.workloadFilter())
			stop()
			if err != nil {
				return err
			}
			return o.printUsage(output.Stdout(cmd), by, totals)
		},
	}
	o.bind(cmd, output.Table, output.JSON, output.YAML)
	o.bindTarget(cmd)
	command.Choice(cmd, cmd.Flags(), &by, "by", "", "target, platformNamespace or deployment", inventory.ByTarget, inventory.ByPlatformNamespace, inventory.ByDeployment)
	return cmd
}

func (o *observeFlags) printUsage(out io.Writer, by inventory.GroupBy, totals []inventory.Total) error {
	if o.format != output.Table {
		return o.printItems(out, "UsageList", append([]inventory.Total{}, totals...))
	}
	header := []string{"PLATFORM NAMESPACE"}
	if by != inventory.ByPlatformNamespace {
		header = append(header, "TARGET")
	}
	if by == inventory.ByDeployment {
		header = append(header, "OBJECT")
	}
	header = append(header, "WORKLOADS", "PODS", "CPU", "MEMORY", "CPU USE", "MEMORY USE")
	table := output.NewTable(out, header...)
	for _, t := range totals {
		row := []string{t.PlatformNamespace}
		if by != inventory.ByPlatformNamespace {
			row = append(row, t.Target)
		}
		if by == inventory.ByDeployment {
			row = append(row, t.Kind+"/"+t.Name)
		}
		table.Row(append(row, strconv.Itoa(t.Workloads), fmt.Sprintf("%d/%d", t.PodsReady, t.Pods), cpu(&t.Requests), memory(&t.Requests), cpu(t.Use), memory(t.Use))...)
	}
	return table.Flush()
}
