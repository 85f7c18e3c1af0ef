package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/manifest"
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
	c := &client{}
	group := onlyGroups(&cobra.Command{Use: "jobs", Short: "List and get the Flink jobs that have pods in the cluster"})
	c.bind(group)
	group.AddCommand(newJobGet(c, "list", cobra.NoArgs), newJobGet(c, "get [ID]", cobra.MaximumNArgs(1)))
	return group
}

func newJobGet(c *client, use string, args cobra.PositionalArgs) *cobra.Command {
	var format output
	var deployment string
	cmd := &cobra.Command{
		Use: use, Short: "List the jobs of a platform namespace", Args: usage(args),
		RunE: func(cmd *cobra.Command, ids []string) error {
			path := c.path("jobs", ids...)
			if deployment != "" {
				path += "?deploymentId=" + url.QueryEscape(deployment)
			}
			answer, _, err := c.do(cmd.Context(), http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			if format == "json" || format == "yaml" {
				return format.printDocument(cmd.OutOrStdout(), answer)
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
				fmt.Fprintf(cmd.ErrOrStderr(), "No jobs in platform namespace %s.\n", c.platform())
				return nil
			}
			return printJobs(cmd, format, list.Items)
		},
	}
	format.bind(cmd)
	cmd.Flags().StringVar(&deployment, "deployment-id", "", "jobs of this Deployment alone")
	return cmd
}

func printJobs(cmd *cobra.Command, format output, jobs []job) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 3, ' ', 0)
	if format != "name" {
		fmt.Fprintln(table, "ID\tDEPLOYMENT\tAGE")
	}
	for _, j := range jobs {
		if format == "name" {
			fmt.Fprintf(table, "job/%s\n", manifest.Printable(j.Metadata.ID))
			continue
		}
		deployment := orElse(j.Spec.DeploymentName, orElse(j.Spec.DeploymentID, "-"))
		fmt.Fprintf(table, "%s\t%s\t%s\n", manifest.Printable(j.Metadata.ID), manifest.Printable(deployment), age(j.Metadata.CreatedAt, time.Now()))
	}
	return table.Flush()
}
