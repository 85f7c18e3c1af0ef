// Package output prints what commands report: tables, JSON, YAML and names.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/registry/rest/yamljson"
)

// Format is the value of -o.
type Format string

// The formats.
const (
	Table Format = "table"
	Wide  Format = "wide"
	Text  Format = "text"
	JSON  Format = "json"
	YAML  Format = "yaml"
	Name  Format = "name"
	JUnit Format = "junit"
)

// Bind adds the flag -o. The first format is the default.
func (o *Format) Bind(cmd *cobra.Command, formats ...Format) {
	var names []string
	for _, f := range formats {
		names = append(names, string(f))
	}
	command.Choice(cmd, cmd.Flags(), o, "output", "o", command.Alternatives(names), formats...)
}

// IsDocument reports whether the format is JSON or YAML.
func (o Format) IsDocument() bool { return o == JSON || o == YAML }

// PrintJSON prints a value as indented JSON.
func PrintJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// PrintDocument prints JSON as YAML or as indented JSON.
func (o Format) PrintDocument(w io.Writer, answer []byte) error {
	if o == YAML {
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

// Plural counts a noun: 1 finding, 2 findings.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
