package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/manifest"
)

// preview prints what blocks the deletion of an object, and fails if anything does.
func (c *client) preview(cmd *cobra.Command, k objectKind, name string, format output) error {
	answer, _, err := c.do(cmd.Context(), http.MethodGet, c.path(k.collection, name)+"/references", nil)
	if err != nil {
		return err
	}
	var found references
	if err := json.Unmarshal(answer, &found); err != nil {
		return fmt.Errorf("unexpected response: %w", err)
	}
	if format == "json" || format == "yaml" {
		err = format.printDocument(cmd.OutOrStdout(), answer)
	} else {
		err = found.print(cmd.OutOrStdout(), k)
	}
	if err == nil && len(found.Items) > 0 {
		return &exitError{exitRefused, fmt.Errorf("%s %q cannot be deleted: %s", k.kind, found.Metadata.Name, countReferences(len(found.Items)))}
	}
	return err
}

// references is the response for an object's references.
type references struct {
	Metadata struct{ Name string }
	Items    []struct{ Kind, Name, KubernetesNamespace string }
	Refused  []string `json:"refusedAfterwards"`
}

func (r *references) print(w io.Writer, k objectKind) error {
	if len(r.Items) == 0 {
		fmt.Fprintf(w, "%s %s has no references and can be deleted.\n", k.kind, manifest.Printable(r.Metadata.Name))
	} else {
		fmt.Fprintf(w, "%s %s is referenced by\n\n", k.kind, manifest.Printable(r.Metadata.Name))
		table := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
		fmt.Fprintln(table, "KIND\tNAME")
		for _, item := range r.Items {
			fmt.Fprintf(table, "%s\t%s", manifest.Printable(item.Kind), manifest.Printable(item.Name))
			if item.KubernetesNamespace != "" {
				fmt.Fprintf(table, " in Kubernetes namespace %s", manifest.Printable(item.KubernetesNamespace))
			}
			fmt.Fprintln(table)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(r.Refused) > 0 {
		fmt.Fprint(w, "\nDenied after the deletion:\n")
	}
	for _, line := range r.Refused {
		fmt.Fprintf(w, "- %s\n", manifest.Printable(line))
	}
	return nil
}

func countReferences(n int) string {
	if n == 1 {
		return "1 reference"
	}
	return fmt.Sprintf("%d references", n)
}
