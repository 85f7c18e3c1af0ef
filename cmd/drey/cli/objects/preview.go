package objects

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/cmd/drey/cli/output"
)

// printPreview prints what blocks the deletion of an object, and fails if anything does.
func printPreview(c *client.Client, cmd *cobra.Command, k document.Kind, name string, format output.Format) error {
	answer, _, err := c.Do(cmd.Context(), http.MethodGet, c.Path(k.Collection, name)+"/references", nil)
	if err != nil {
		return err
	}
	var found references
	if err := json.Unmarshal(answer, &found); err != nil {
		return fmt.Errorf("unexpected response: %w", err)
	}
	if format.IsDocument() {
		err = format.PrintDocument(output.Stdout(cmd), answer)
	} else {
		err = found.print(output.Stdout(cmd), k)
	}
	if err == nil && len(found.Items) > 0 {
		return command.WithCode(command.ExitRefused, fmt.Errorf("%s %q cannot be deleted: %s", k.Name, found.Metadata.Name, output.Plural(len(found.Items), "reference")))
	}
	return err
}

// references is the response for an object's references.
type references struct {
	Metadata struct{ Name string }
	Items    []struct{ Kind, Name, KubernetesNamespace string }
	Refused  []string `json:"refusedAfterwards"`
}

func (r *references) print(w io.Writer, k document.Kind) error {
	if len(r.Items) == 0 {
		fmt.Fprintf(w, "%s %s has no references and can be deleted.\n", k.Name, manifest.Printable(r.Metadata.Name))
	} else {
		fmt.Fprintf(w, "%s %s is referenced by\n\n", k.Name, manifest.Printable(r.Metadata.Name))
		table := output.NewTable(w, "KIND", "NAME")
		for _, item := range r.Items {
			name := item.Name
			if item.KubernetesNamespace != "" {
				name += " in Kubernetes namespace " + item.KubernetesNamespace
			}
			table.Row(item.Kind, name)
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
