package objects

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/cmd/drey/cli/output"
)

// job is a job in a response.
type job struct {
	Metadata struct {
		ID        string `json:"id"`
		CreatedAt string `json:"createdAt"`
	} `json:"metadata"`
	Spec struct {
		DeploymentID   string `json:"deploymentId"`
		DeploymentName string `json:"deploymentName"`
	} `json:"spec"`
}

// newJobsCommand returns the commands of jobs, which exist while their pods do.
func newJobsCommand() *cobra.Command {
	c := &client.Client{}
	group := command.Group(&cobra.Command{
		Use: "jobs", Short: "List and get the Flink jobs that have pods in the cluster",
		Long: `A job is one execution of a Deployment; it exists as long as its pods. A server without a cluster
has no jobs, and --server cluster does not list them: use drey workloads.`,
		Example: "  drey jobs list\n  drey jobs get ID -o yaml",
	})
	c.Bind(group)
	group.AddCommand(newJobGet(c, "list", "List the jobs of a platform namespace", cobra.NoArgs),
		newJobGet(c, "get [ID]", "Get a job, or all jobs of a platform namespace", cobra.MaximumNArgs(1)))
	return group
}

func newJobGet(c *client.Client, use, short string, args cobra.PositionalArgs) *cobra.Command {
	var format output.Format
	var deployment string
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + ".",
		Example: "  drey jobs list --deployment-id ID\n  drey jobs get ID -o yaml",
		ValidArgsFunction: c.Completion(func(ctx context.Context) ([]string, error) {
			answer, _, err := c.Do(ctx, http.MethodGet, c.Path("jobs"), nil)
			var list struct{ Items []job }
			if err == nil {
				err = json.Unmarshal(answer, &list)
			}
			var ids []string
			for _, j := range list.Items {
				ids = append(ids, j.Metadata.ID)
			}
			return ids, err
		}),
		Args: command.Args(args),
		RunE: func(cmd *cobra.Command, ids []string) error {
			path := c.Path("jobs", ids...)
			if deployment != "" {
				path += "?deploymentId=" + url.QueryEscape(deployment)
			}
			answer, _, err := c.Do(cmd.Context(), http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			if format.IsDocument() {
				return format.PrintDocument(output.Stdout(cmd), answer)
			}
			var list struct {
				job
				Items []job `json:"items"`
			}
			if err := json.Unmarshal(answer, &list); err != nil {
				return err
			}
			if len(ids) == 1 {
				list.Items = []job{list.job}
			}
			if len(list.Items) == 0 && format != output.Name {
				fmt.Fprintf(cmd.ErrOrStderr(), "No jobs in platform namespace %s.\n", c.Platform())
				return nil
			}
			return printJobs(cmd, format, list.Items)
		},
	}
	format.Bind(cmd, output.Table, output.JSON, output.YAML, output.Name)
	cmd.Flags().StringVar(&deployment, "deployment-id", "", "jobs of this Deployment alone")
	return cmd
}

func printJobs(cmd *cobra.Command, format output.Format, jobs []job) error {
	table := output.NewTable(output.Stdout(cmd), "ID", "DEPLOYMENT", "AGE")
	for _, j := range jobs {
		if format == output.Name {
			fmt.Fprintf(cmd.OutOrStdout(), "job/%s\n", manifest.Printable(j.Metadata.ID))
			continue
		}
		table.Row(j.Metadata.ID, cmp.Or(j.Spec.DeploymentName, j.Spec.DeploymentID), output.Age(j.Metadata.CreatedAt, time.Now()))
	}
	if format == output.Name {
		return nil
	}
	return table.Flush()
}
