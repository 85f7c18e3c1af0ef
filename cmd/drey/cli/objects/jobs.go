package objects

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
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
	group := command.Group(&cobra.Command{Use: "jobs", Short: "List and get the Flink jobs that have pods in the cluster"})
	c.Bind(group)
	group.AddCommand(newJobGet(c, "list", cobra.NoArgs), newJobGet(c, "get [ID]", cobra.MaximumNArgs(1)))
	return group
}

func newJobGet(c *client.Client, use string, args cobra.PositionalArgs) *cobra.Command {
	var format output.Format
	var deployment string
	cmd := &cobra.Command{
		Use: use, Short: "List the jobs of a platform namespace", Args: command.Args(args),
		RunE: func(cmd *cobra.Command, ids []string) error {
			path := c.Path("jobs", ids...)
			if deployment != "" {
				path += "?deploymentId=" + url.QueryEscape(deployment)
			}
			answer, _, err := c.Do(cmd.Context(), http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			if format == "json" || format == "yaml" {
				return format.PrintDocument(cmd.OutOrStdout(), answer)
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
			if len(list.Items) == 0 && format != "name" {
				fmt.Fprintf(cmd.ErrOrStderr(), "No jobs in platform namespace %s.\n", c.Platform())
				return nil
			}
			return printJobs(cmd, format, list.Items)
		},
	}
	format.Bind(cmd)
	cmd.Flags().StringVar(&deployment, "deployment-id", "", "jobs of this Deployment alone")
	return cmd
}

func printJobs(cmd *cobra.Command, format output.Format, jobs []job) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 3, ' ', 0)
	if format != "name" {
		fmt.Fprintln(table, "ID\tDEPLOYMENT\tAGE")
	}
	for _, j := range jobs {
		if format == "name" {
			fmt.Fprintf(table, "job/%s\n", manifest.Printable(j.Metadata.ID))
			continue
		}
		deployment := cmp.Or(j.Spec.DeploymentName, cmp.Or(j.Spec.DeploymentID, "-"))
		fmt.Fprintf(table, "%s\t%s\t%s\n", manifest.Printable(j.Metadata.ID), manifest.Printable(deployment), output.Age(j.Metadata.CreatedAt, time.Now()))
	}
	return table.Flush()
}
