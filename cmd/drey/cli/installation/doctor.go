package installation

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/doctor"
)

func newDoctorCommand(version string) *cobra.Command {
	var kubectl kubectl.Cluster
	var namespace string
	var format output.Format
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Diagnose an installation, and print the fixes",
		Long: `Check an installation with the user's permissions: all objects match this version, the
configuration is valid, replicas are ready, a leader holds the Lease, the certificate is valid
and trusted, no other webhook can block drey's start, modes are valid, and target namespaces are
labeled. The check "admission" lists the requests that are denied now. A drey outside the
cluster, with webhooks registered by URL, is checked too. Nothing is changed.

The exit code is 1 if a check fails.`,
		Example: `  drey doctor
  drey doctor -n flink-platform -o json`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			facts, err := readFacts(cmd, kubectl, namespace, version)
			if err != nil {
				return err
			}
			found := doctor.Diagnose(facts)
			if err := printFindings(output.Stdout(cmd), format, found); err != nil {
				return err
			}
			failed := 0
			for _, f := range found {
				if f.Level == doctor.Fail {
					failed++
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d checks failed", failed, len(found))
			}
			return nil
		},
	}
	f := cmd.Flags()
	kubectl.Bind(cmd, f)
	f.StringVarP(&namespace, "namespace", "n", bundle.Namespace, "drey's own namespace")
	command.Complete(cmd, "namespace", kubectl.CompleteNamespaces)
	format.Bind(cmd, output.Table, output.JSON)
	return cmd
}

func printFindings(out io.Writer, format output.Format, found []doctor.Finding) error {
	if format == output.JSON {
		return output.PrintJSON(out, map[string]any{"findings": found})
	}
	list := output.NewList(out, "")
	fixes := map[string]bool{}
	for _, f := range grouped(found) {
		list.Row(string(f.Level), f.Check, f.Message)
		switch {
		case f.Fix == "":
		case fixes[f.Fix]:
			list.Row("", "", "-> the same fix")
		default:
			fixes[f.Fix] = true
			list.Row("", "", "-> "+f.Fix)
		}
	}
	return list.Flush()
}

// grouped joins the findings of several checks with the same message and fix.
func grouped(found []doctor.Finding) (all []doctor.Finding) {
	for _, f := range found {
		at := slices.IndexFunc(all, func(have doctor.Finding) bool {
			return have.Level == f.Level && have.Message == f.Message && have.Fix == f.Fix
		})
		if at < 0 {
			all = append(all, f)
			continue
		}
		all[at].Check += ", " + f.Check
	}
	return all
}
