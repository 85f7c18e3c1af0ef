package cli

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"drey.dev/drey/webhook/verdict"
)

func newCheckCommand() *cobra.Command {
	var q question
	var format string
	cmd := &cobra.Command{
		Use:   "check -f DIR",
		Short: "Check manifests as the webhooks would, in a pipeline and without a cluster",
		Long: `Put every workload in the manifests to the function that the webhooks ask, and
say what becomes of it: pods, every object that holds a pod template, whatever its
kind, and Flink's custom resources. Manifests are read as kubectl reads them. Targets
among them count.

The exit code is 6 if anything would be refused, 2 if there is nothing to check, and 1
if a manifest cannot be read.`,
		Example: `  drey check -f deploy/ --targets targets.yaml
  helm template . | drey check -f - --targets targets.yaml -n flink -o junit > drey.xml`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(q.files) == 0 {
				return &exitError{exitUsage, fmt.Errorf("say what to check with -f: a file, a directory, or - for standard input")}
			}
			if err := checkFormat(format, "table", "json", "junit"); err != nil {
				return err
			}
			manifests, known, err := q.read(cmd)
			if err != nil {
				return err
			}
			all, err := q.checkAll(manifests, known)
			if err != nil {
				return err
			}
			if len(all) == 0 && format != "table" {
				fmt.Fprint(cmd.ErrOrStderr(), summary(len(manifests), all))
			}
			if err := printChecked(cmd.OutOrStdout(), format, len(manifests), all); err != nil {
				return err
			}
			if n := count(all, func(c checked) bool { return !c.Allowed }); n > 0 {
				return &exitError{exitDenied, fmt.Errorf("%d of %s would be refused", n, plural(len(all), "workload"))}
			}
			return nil
		},
	}
	q.bind(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table, json or junit")
	return cmd
}

// checked is a manifest and what became of it.
type checked struct {
	File string `json:"file"`
	verdict.Explanation
}

// checkAll decides on manifests. What cannot be read is an error each.
func (q *question) checkAll(manifests []manifest, known verdict.State) ([]checked, error) {
	var all []checked
	var errs []error
	for _, m := range manifests {
		c, ok, err := q.check(m, known)
		if ok {
			all = append(all, c)
		}
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// check decides on a manifest. ok is false where nothing is gated: objects that run
// no pods, and those that drey only labels.
func (q *question) check(m manifest, known verdict.State) (c checked, ok bool, err error) {
	v, ok, err := q.decide(m, known)
	if err != nil || !ok || m.APIVersion == "v1" && (m.Kind == "Service" || m.Kind == "ConfigMap") {
		return checked{}, false, err
	}
	return checked{m.file, v.Explain(q.address())}, true, nil
}

// checkFormat refuses a value of -o that is none of those.
func checkFormat(format string, formats ...string) error {
	if slices.Contains(formats, format) {
		return nil
	}
	last := len(formats) - 1
	return &exitError{exitUsage, fmt.Errorf("-o %s: want %s or %s", format, strings.Join(formats[:last], ", "), formats[last])}
}

func count(all []checked, is func(checked) bool) int {
	n := 0
	for _, c := range all {
		if is(c) {
			n++
		}
	}
	return n
}

// summary says in a line how much was checked.
func summary(manifests int, all []checked) string {
	if len(all) == 0 {
		return fmt.Sprintf("%s read, none of them a workload: nothing runs Flink\n", plural(manifests, "object"))
	}
	flinks := count(all, func(c checked) bool { return c.Reason != verdict.NotFlink && c.Reason != verdict.InsufficientSignal })
	return fmt.Sprintf("%s read: %s, %d of Flink\n", plural(manifests, "object"), plural(len(all), "workload"), flinks)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func printChecked(out io.Writer, format string, manifests int, all []checked) error {
	switch format {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if all == nil {
			all = []checked{}
		}
		return e.Encode(all)
	case "junit":
		return printJUnit(out, all)
	}
	return printCheckedTable(out, manifests, all)
}

func printCheckedTable(out io.Writer, manifests int, all []checked) error {
	w := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(w, "FILE\tNAMESPACE\tWORKLOAD\tVERDICT\tPLATFORM NAMESPACE")
	}
	for _, c := range all {
		word := "allowed"
		if !c.Allowed {
			word = "DENIED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s/%s\t%s: %s\t%s\n", c.File, c.Namespace, c.Kind, c.Name, word, c.Reason, orElse(c.PlatformNamespace, "-"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, c := range all {
		if c.Message != "" || c.Warning != "" {
			fmt.Fprintf(out, "\n%s, %s/%s: %s\n", c.File, c.Kind, c.Name, cmp.Or(c.Message, c.Warning))
		}
	}
	_, err := io.WriteString(out, summary(manifests, all))
	return err
}

// The shape that the tools of pipelines read (the JUnit XML of Ant's task).
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func printJUnit(out io.Writer, all []checked) error {
	suite := junitSuite{Name: "drey check", Tests: len(all)}
	for _, c := range all {
		one := junitCase{Class: c.Namespace, Name: c.Kind + "/" + c.Name, File: c.File}
		if !c.Allowed {
			suite.Failures++
			one.Failure = &junitFailure{string(c.Reason), string(c.Reason), c.Message}
		}
		suite.Cases = append(suite.Cases, one)
	}
	fmt.Fprint(out, xml.Header)
	e := xml.NewEncoder(out)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}
