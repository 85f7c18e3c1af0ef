// Package output prints what commands report: tables, JSON, YAML and names.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/registry/rest/yamljson"
)

// Format is the value of -o: table, wide, json, yaml or name.
type Format string

// Bind adds the flag -o with table, json, yaml and name.
func (o *Format) Bind(cmd *cobra.Command) { o.BindFormats(cmd, "table", "json", "yaml", "name") }

// BindWide is Bind with wide among the formats.
func (o *Format) BindWide(cmd *cobra.Command) {
	o.BindFormats(cmd, "table", "wide", "json", "yaml", "name")
}

// BindFormats adds the flag -o. The first format is the default.
func (o *Format) BindFormats(cmd *cobra.Command, formats ...string) {
	*o = Format(formats[0])
	want := Alternatives(formats)
	cmd.Flags().VarP(&outputFlag{o, formats, want}, "output", "o", want)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// outputFlag implements pflag.Value.
type outputFlag struct {
	value   *Format
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
	*f.value = Format(s)
	return nil
}

// PrintDocument prints JSON as YAML or as indented JSON.
func (o *Format) PrintDocument(w io.Writer, answer []byte) error {
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

// Age formats the time since a creation as kubectl does.
func Age(created string, now time.Time) string {
	at, err := time.Parse(time.RFC3339, created)
	if err != nil {
		return "?"
	}
	return duration.HumanDuration(now.Sub(at))
}

// CheckFormat validates the value of -o.
func CheckFormat(format string, formats ...string) error {
	if slices.Contains(formats, format) {
		return nil
	}
	return command.WithCode(command.ExitUsage, fmt.Errorf("-o %s: want %s", format, Alternatives(formats)))
}

// Alternatives joins values: a, b or c.
func Alternatives(values []string) string {
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// Plural counts a noun: 1 finding, 2 findings.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
