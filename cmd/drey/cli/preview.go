package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// preview says what would become of a deletion. It fails if that would be refused.
func (c *client) preview(cmd *cobra.Command, k objectKind, name string, format output) error {
	answer, _, err := c.do(cmd.Context(), http.MethodGet, c.path(k.collection, name)+"/references", nil)
	if err != nil {
		return err
	}
	var found references
	if err := json.Unmarshal(answer, &found); err != nil {
		return fmt.Errorf("the server answers what drey would not: %w", err)
	}
	if format == "json" || format == "yaml" {
		err = format.printDocument(cmd.OutOrStdout(), answer)
	} else {
		err = found.print(cmd.OutOrStdout(), k)
	}
	if err == nil && len(found.Items) > 0 {
		return &exitError{exitRefused, fmt.Errorf("%s %q would not be deleted: %s", k.kind, found.Metadata.Name, held(len(found.Items)))}
	}
	return err
}

// references are what the server says of an object that is to go.
type references struct {
	Metadata struct{ Name string }
	Items    []struct{ Kind, Name, KubernetesNamespace string }
	Refused  []string `json:"refusedAfterwards"`
}

func (r *references) print(w io.Writer, k objectKind) error {
	if len(r.Items) == 0 {
		fmt.Fprintf(w, "Nothing holds %s %s: it can be deleted.\n", k.kind, printable(r.Metadata.Name))
	} else {
		fmt.Fprintf(w, "%s %s is held by\n\n", k.kind, printable(r.Metadata.Name))
		table := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
		fmt.Fprintln(table, "KIND\tNAME")
		for _, item := range r.Items {
			fmt.Fprintf(table, "%s\t%s", printable(item.Kind), printable(item.Name))
			if item.KubernetesNamespace != "" {
				fmt.Fprintf(table, " in Kubernetes namespace %s", printable(item.KubernetesNamespace))
			}
			fmt.Fprintln(table)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(r.Refused) > 0 {
		fmt.Fprint(w, "\nRefused once it is gone:\n")
	}
	for _, line := range r.Refused {
		fmt.Fprintf(w, "- %s\n", printable(line))
	}
	return nil
}

func held(by int) string {
	if by == 1 {
		return "one thing holds it"
	}
	return fmt.Sprintf("%d things hold it", by)
}
