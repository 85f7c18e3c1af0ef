package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/registry/rest/yamljson"
)

// output is the value of -o: table, wide, json, yaml or name.
type output string

func (o *output) bind(cmd *cobra.Command) { o.bindFormats(cmd, "table", "json", "yaml", "name") }

// bindWide is bind with wide among the formats.
func (o *output) bindWide(cmd *cobra.Command) {
	o.bindFormats(cmd, "table", "wide", "json", "yaml", "name")
}

func (o *output) bindFormats(cmd *cobra.Command, formats ...string) {
	*o = "table"
	want := alternatives(formats)
	cmd.Flags().VarP(&outputFlag{o, formats, want}, "output", "o", want)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// outputFlag implements pflag.Value.
type outputFlag struct {
	value   *output
	formats []string
	want    string
}

// String implements pflag.Value.
func (f *outputFlag) String() string {
	if f.value == nil {
		return ""
	}
	return string(*f.value)
}

// Type implements pflag.Value.
func (f *outputFlag) Type() string { return "format" }

// Set implements pflag.Value.
func (f *outputFlag) Set(s string) error {
	if !slices.Contains(f.formats, s) {
		return fmt.Errorf("want %s", f.want)
	}
	*f.value = output(s)
	return nil
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

// print prints objects as a table, or their names.
func (o *output) print(w io.Writer, columns []column, k objectKind, objects []object, headers bool) error {
	if *o == "name" {
		for _, object := range objects {
			if _, err := fmt.Fprintf(w, "%s/%s\n", strings.ToLower(k.kind), object.Metadata.Name); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 4, 3, ' ', 0)
	if headers {
		fmt.Fprint(table, "NAME")
		for _, c := range columns {
			fmt.Fprint(table, "\t", c.header)
		}
		fmt.Fprintln(table, "\tAGE")
	}
	for _, object := range objects {
		fmt.Fprint(table, object.Metadata.Name)
		for _, c := range columns {
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

func readObjects(items []json.RawMessage) ([]object, error) {
	objects := make([]object, len(items))
	for i, text := range items {
		if err := json.Unmarshal(text, &objects[i]); err != nil {
			return nil, err
		}
	}
	return objects, nil
}
