package installation

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/doctor"
)

func newStatusCommand() *cobra.Command {
	var c client.Client
	var namespace, format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print whether drey is ready, its version and what is denied",
		Long: `Print the state of drey: with --server cluster that of its pods and webhooks, as drey doctor
finds it, else the version of the server at a URL, if it answers.

The exit code is 0 if drey is ready, 5 if it is not, and 3 if it is not installed.`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return command.WithCode(command.ExitUsage, fmt.Errorf("-o is %q: use table or json", format))
			}
			if c.Server == client.InCluster {
				return printClusterStatus(cmd.Context(), cmd.OutOrStdout(), c.Kubectl, namespace, format)
			}
			answer, _, err := c.Do(cmd.Context(), "GET", "/api/v1/status/system-info", nil)
			if err != nil {
				return err
			}
			return printServerStatus(cmd.OutOrStdout(), c.Server, answer, format)
		},
	}
	c.BindServer(cmd)
	f := cmd.Flags()
	f.StringVarP(&namespace, "namespace", "n", bundle.Namespace, "with --server "+client.InCluster+": drey's own namespace")
	f.StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

// clusterStatus is the state of a drey in a cluster.
type clusterStatus struct {
	Namespace string   `json:"namespace"`
	Installed bool     `json:"installed"`
	Ready     bool     `json:"ready"` // replicas serve, and nothing is denied for lack of one
	Image     string   `json:"image,omitempty"`
	Replicas  int64    `json:"replicas"`
	Available int64    `json:"readyReplicas"`
	Mode      string   `json:"mode,omitempty"`
	URL       string   `json:"url,omitempty"` // of a drey outside of the cluster
	Targets   *int     `json:"targets,omitempty"`
	Admission string   `json:"admission,omitempty"` // what is denied
	Problems  []string `json:"problems,omitempty"`
}

// statusOf derives the state from the facts of an installation.
func statusOf(f doctor.Facts) clusterStatus {
	s := clusterStatus{Namespace: f.Options.Namespace, Installed: f.Image != "" || f.Outside != nil, Image: f.Image, Replicas: f.Desired, Available: f.Ready}
	if f.Image != "" {
		s.Mode = string(f.Options.Mode)
	}
	if f.Outside != nil {
		s.URL = f.Outside.URL
	}
	if f.TargetsError == nil && s.Installed {
		s.Targets = new(len(f.Targets))
	}
	s.Ready = s.Installed
	for _, found := range doctor.Diagnose(f) {
		switch {
		case found.Check == "admission" && found.Level == doctor.OK:
			s.Admission = found.Message
		case found.Level == doctor.OK:
		case found.Check == "admission" || found.Check == "server":
			s.Problems = append(s.Problems, found.Message)
			s.Ready = s.Ready && found.Level != doctor.Fail && f.Outside == nil
		case found.Level == doctor.Fail:
			s.Problems = append(s.Problems, found.Message)
		}
	}
	return s
}

func printClusterStatus(ctx context.Context, out io.Writer, kubectl kubectl.Cluster, namespace, format string) error {
	config, err := kubectl.Config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	facts, err := examine(ctx, config, namespace, "dev")
	if err != nil {
		return err
	}
	s := statusOf(facts)
	if err := s.print(out, format); err != nil {
		return err
	}
	switch {
	case !s.Installed:
		return command.WithCode(command.ExitNotFound, fmt.Errorf("drey is not installed in namespace %s: drey install -n %s, or select another namespace with -n", namespace, namespace))
	case !s.Ready:
		return command.WithCode(command.ExitUnavailable, fmt.Errorf("drey is not ready: drey doctor%s prints the fixes", inNamespace(namespace)))
	}
	return nil
}

func (s clusterStatus) print(out io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	if !s.Installed {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, manifest.Printable(value))
		}
	}
	if s.URL != "" {
		row("server", s.URL+", outside of the cluster")
	} else {
		row("namespace", s.Namespace)
		row("image", s.Image)
		row("replicas", fmt.Sprintf("%d of %d are ready", s.Available, s.Replicas))
	}
	row("mode", s.Mode)
	if s.Targets != nil {
		row("targets", fmt.Sprint(*s.Targets))
	}
	row("admission", s.Admission)
	for _, p := range s.Problems {
		row("problem", p)
	}
	return table.Flush()
}

// printServerStatus prints the fields of system-info.
func printServerStatus(out io.Writer, server string, answer []byte, format string) error {
	fields := map[string]any{}
	if err := json.Unmarshal(answer, &fields); err != nil {
		return fmt.Errorf("%s is not the REST API of drey: system-info is no JSON object: %w", server, err)
	}
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(fields)
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "server\t%s\n", server)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch fields[name].(type) {
		case string, bool, float64:
			fmt.Fprintf(table, "%s\t%s\n", name, manifest.Printable(fmt.Sprint(fields[name])))
		}
	}
	return table.Flush()
}
