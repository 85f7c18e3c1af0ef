package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/registry/rest/yamljson"
)

// output is the value of -o: table, json, yaml or name.
type output string

func (o *output) bind(cmd *cobra.Command) {
	*o = "table"
	cmd.Flags().VarP(o, "output", "o", "table, json, yaml or name")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml", "name"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// String implements pflag.Value.
func (o *output) String() string { return string(*o) }

// Type implements pflag.Value.
func (o *output) Type() string { return "format" }

// Set implements pflag.Value.
func (o *output) Set(s string) error {
	switch s {
	case "table", "json", "yaml", "name":
		*o = output(s)
		return nil
	}
	return fmt.Errorf("want table, json, yaml or name")
}

func (o *output) printOne(w io.Writer, k objectKind, answer []byte) error {
	switch *o {
	case "json", "yaml":
		return o.printDocument(w, answer)
	}
	one, err := readObject(answer)
	if err != nil {
		return err
	}
	return o.print(w, k, []object{one})
}

func (o *output) printList(w io.Writer, k objectKind, answer []byte) error {
	switch *o {
	case "json", "yaml":
		return o.printDocument(w, answer)
	}
	objects, err := readList(answer)
	if err != nil {
		return err
	}
	return o.print(w, k, objects)
}

func (o *output) printDocument(w io.Writer, answer []byte) error {
	if *o == "yaml" {
		text, err := yamljson.FromJSON(answer)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, answer, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

func (o *output) print(w io.Writer, k objectKind, objects []object) error {
	if *o == "name" {
		for _, object := range objects {
			if _, err := fmt.Fprintf(w, "%s/%s\n", strings.ToLower(k.kind), object.Metadata.Name); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
	fmt.Fprint(table, "NAME")
	for _, c := range k.columns {
		fmt.Fprint(table, "\t", c.header)
	}
	fmt.Fprintln(table, "\tAGE")
	for _, object := range objects {
		fmt.Fprint(table, object.Metadata.Name)
		for _, c := range k.columns {
			fmt.Fprint(table, "\t", orElse(manifest.Printable(c.value(object)), "-"))
		}
		fmt.Fprint(table, "\t", age(object.Metadata.CreatedAt, time.Now()), "\n")
	}
	return table.Flush()
}

// age formats the time since a creation as kubectl does.
func age(created string, now time.Time) string {
	at, err := time.Parse(time.RFC3339, created)
	if err != nil {
		return "?"
	}
	return duration.HumanDuration(now.Sub(at))
}

func readObject(text []byte) (object, error) {
	var o object
	return o, json.Unmarshal(text, &o)
}

func readList(answer []byte) ([]object, error) {
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, err
	}
	objects := make([]object, len(list.Items))
	for i, text := range list.Items {
		o, err := readObject(text)
		if err != nil {
			return nil, err
		}
		objects[i] = o
	}
	return objects, nil
}
