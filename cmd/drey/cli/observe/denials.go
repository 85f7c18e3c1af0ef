package observe

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/webhook/verdict"
)

func newDenialsCommand() *cobra.Command {
	var o observeFlags
	var since time.Duration
	var reason string
	cmd := &cobra.Command{
		Use:   "denials",
		Short: "List requests that admission denied, or would deny in another mode",
		Long: `List the denials of the last seven days, the newest first: the user, the object, the
reason, and with -o wide the command that corrects it. In the modes warn and audit the
request was allowed. Equal denials are one row with a count.`,
		Example: `  drey denials --since 1h
  kubectl drey denials -n flink -o wide
  drey denials -w`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := denials.Query{Filter: denials.Filter{PlatformNamespace: o.client.PlatformNamespace, Namespace: o.kubernetesNamespace(), Reason: reason}}
			if since < 0 {
				return command.WithCode(command.ExitUsage, fmt.Errorf("--since is %s: use a positive duration, such as 24h", since))
			}
			if since > 0 {
				q.Since = time.Now().Add(-since)
			}
			from := o.open()
			page, err := from.denials(cmd.Context(), q)
			if err != nil {
				return err
			}
			return o.printDenials(cmd, from, q, page.Items)
		},
	}
	o.bind(cmd, output.Table, output.Wide, output.JSON, output.YAML, output.Name)
	f := cmd.Flags()
	f.DurationVar(&since, "since", 0, "only denials newer than this duration, such as 24h (default: all in the history)")
	f.StringVar(&reason, "reason", "", "only denials with this reason, such as NoDeploymentTarget")
	command.Complete(cmd, "reason", cobra.FixedCompletions([]string{string(verdict.NoDeploymentTarget), string(verdict.AmbiguousTarget), string(verdict.LabelConflict), string(verdict.LabelImmutable)}, cobra.ShellCompDirectiveNoFileComp))
	f.BoolVarP(&o.watch, "watch", "w", false, "print denials as they come, until interrupted")
	return cmd
}

func (o *observeFlags) printDenials(cmd *cobra.Command, from observer, q denials.Query, items []denials.Denial) error {
	one, err := o.denialPrinter().print(o, output.Stdout(cmd), items)
	if err != nil || !o.watch {
		return err
	}
	shown := newShown(items, denials.Denial.Key, func(d denials.Denial, deleted bool) error {
		if deleted { // its retention has ended
			return nil
		}
		return one(d)
	})
	list := func(ctx context.Context) error {
		page, err := from.denials(ctx, q)
		if err != nil {
			return err
		}
		return shown.replace(page.Items)
	}
	return from.watch(cmd.Context(), list, func(_ *inventory.Change, c *denials.Change) error {
		if c == nil || !q.Selects(c.Value) {
			return nil
		}
		return shown.change(c.Value, c.Deleted)
	})
}

func (o *observeFlags) denialPrinter() printer[denials.Denial] {
	header := []string{"LAST", "COUNT", "NAMESPACE", "OBJECT", "USER", "REASON", "MODE"}
	if o.format == output.Wide {
		header = append(header, "OWNER", "PLATFORM NAMESPACE", "REPLICA", "REMEDY")
	}
	cells := func(d denials.Denial) []string {
		row := []string{duration.HumanDuration(time.Since(d.Last)), strconv.Itoa(d.Count), d.Namespace, d.Kind + "/" + d.Name, d.User, d.Reason, d.Mode}
		if o.format == output.Wide {
			owner := ""
			if d.Owner.Name != "" {
				owner = d.Owner.Kind + "/" + d.Owner.Name
			}
			row = append(row, owner, d.PlatformNamespace, d.Replica, d.Remedy)
		}
		return row
	}
	return printer[denials.Denial]{
		listKind: "DenialList", none: "No denials found.", header: header, cells: cells, lastBelow: o.format == output.Wide,
		name: func(d denials.Denial) (kind, name string) { return d.Kind, d.Name },
	}
}
