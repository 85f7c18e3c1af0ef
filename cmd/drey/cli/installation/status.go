package installation

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/doctor"
)

func newStatusCommand() *cobra.Command {
	var c client.Client
	var namespace string
	var format output.Format
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print drey's readiness, version and effect on new workloads",
		Long: `Print the state of drey's pods and webhooks in the cluster of kubectl's context, if the cluster
serves drey.dev/v1; else the version of the server at a URL.

The exit code is 0 if drey is ready, 5 if it is not, and 3 if it is not installed.`,
		Example: `  drey status --server cluster
  drey status --server https://drey.example.com`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Server == client.InCluster {
				return printClusterStatus(cmd, c.Kubectl, namespace, format)
			}
			version, err := serverVersion(cmd.Context(), &c)
			if err != nil {
				return err
			}
			return printServerStatus(output.Stdout(cmd), serverStatus{c.Server, *version}, format)
		},
	}
	c.BindServer(cmd)
	c.BindRun(cmd)
	f := cmd.Flags()
	f.StringVarP(&namespace, "namespace", "n", bundle.Namespace, "with --server "+client.InCluster+": drey's own namespace")
	command.Complete(cmd, "namespace", c.Kubectl.CompleteNamespaces)
	format.Bind(cmd, output.Table, output.JSON)
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
	URL       string   `json:"url,omitempty"` // of a drey outside the cluster
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

func printClusterStatus(cmd *cobra.Command, kubectl kubectl.Cluster, namespace string, format output.Format) error {
	facts, err := readFacts(cmd, kubectl, namespace, "dev")
	if err != nil {
		return err
	}
	s := statusOf(facts)
	if err := s.print(output.Stdout(cmd), format); err != nil {
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

func (s clusterStatus) print(out io.Writer, format output.Format) error {
	if format == output.JSON {
		return output.PrintJSON(out, s)
	}
	if !s.Installed {
		return nil
	}
	list := output.NewList(out, "")
	row := func(name, value string) {
		if value != "" {
			list.Row(name, value)
		}
	}
	if s.URL != "" {
		row("server", s.URL+", outside the cluster")
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
	return list.Flush()
}

// serverStatus is the state of a server at a URL, which answers.
type serverStatus struct {
	Server string `json:"server"`
	versionOf
}

func printServerStatus(out io.Writer, s serverStatus, format output.Format) error {
	if format == output.JSON {
		return output.PrintJSON(out, s)
	}
	list := output.NewList(out, "")
	list.Row("server", s.Server)
	list.Row("version", s.String())
	return list.Flush()
}
