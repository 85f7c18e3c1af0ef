package verdicts

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/webhook/verdict"
)

func newCheckCommand() *cobra.Command {
	var s source
	var format output.Format
	cmd := &cobra.Command{
		Use:   "check [-f] PATH...",
		Short: "Check manifests with the rules of the webhooks, without a cluster",
		Long: `Decide on every workload in the manifests as the webhooks do: pods, objects of any
kind with a pod template, and Flink's custom resources. Manifests are read as kubectl
reads them; those in Argo Workflows and Sensors, Templates of OpenShift, Objects of
Crossplane and ManifestWorks count too, unless their namespace is a parameter without a
value. DeploymentTargets among them count as registered.

The exit code is 6 if a workload would be denied, 2 if there is nothing to check, and 1
if a manifest cannot be read.`,
		Example: `  drey check deploy/ --targets targets.yaml
  helm template . | drey check -f - --targets targets.yaml -n flink -o junit > drey.xml`,
		Args: command.Args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if s.files = append(s.files, paths...); len(s.files) == 0 {
				return command.WithCode(command.ExitUsage, fmt.Errorf("no manifest: give a file, a directory, or - for standard input"))
			}
			manifests, known, err := s.read(cmd)
			if err != nil {
				return err
			}
			all, err := s.checkAll(manifests, known)
			if err != nil {
				return err
			}
			if len(all) == 0 && format != output.Table {
				fmt.Fprint(cmd.ErrOrStderr(), summary(len(manifests), all))
			}
			if err := printChecked(output.Stdout(cmd), format, len(manifests), all); err != nil {
				return err
			}
			if n := count(all, func(c checked) bool { return !c.Allowed }); n > 0 {
				return command.WithCode(command.ExitDenied, fmt.Errorf("%d of %s would be denied", n, output.Plural(len(all), "workload")))
			}
			return nil
		},
	}
	s.bind(cmd)
	format.Bind(cmd, output.Table, output.JSON, output.JUnit)
	return cmd
}

// checked is a workload of a manifest, with its verdict.
type checked struct {
	File string `json:"file"`
	verdict.Explanation
}

// place names the workload by its file.
func (c checked) place() string { return fmt.Sprintf("%s, %s/%s", c.File, c.Kind, c.Name) }

// checkAll decides on all manifests; the errors of unreadable ones are joined.
func (s *source) checkAll(manifests []manifest.Manifest, known verdict.State) ([]checked, error) {
	var all []checked
	decisions, err := s.decideAll(manifests, known)
	for _, d := range decisions {
		if !d.onlyLabeled() {
			all = append(all, checked{d.File, d.Explain(s.registerHint())})
		}
	}
	return all, err
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

// summary is the last line of the table.
func summary(manifests int, all []checked) string {
	if len(all) == 0 {
		return fmt.Sprintf("%s read, no workloads\n", output.Plural(manifests, "object"))
	}
	ofFlink := count(all, func(c checked) bool { return c.Reason != verdict.NotFlink && c.Reason != verdict.InsufficientSignal })
	return fmt.Sprintf("%s read: %s, %d of Flink\n", output.Plural(manifests, "object"), output.Plural(len(all), "workload"), ofFlink)
}

func printChecked(out io.Writer, format output.Format, manifests int, all []checked) error {
	switch format {
	case output.JSON:
		return output.PrintJSON(out, append([]checked{}, all...))
	case output.JUnit:
		return printJUnit(out, all)
	}
	return printCheckedTable(out, manifests, all)
}

func printCheckedTable(out io.Writer, manifests int, all []checked) error {
	table := output.NewTable(out, "FILE", "NAMESPACE", "WORKLOAD", "VERDICT", "PLATFORM NAMESPACE")
	for _, c := range all {
		word := "allowed"
		if !c.Allowed {
			word = "DENIED"
		}
		table.Row(c.File, c.Namespace, c.Kind+"/"+c.Name, fmt.Sprintf("%s: %s", word, c.Reason), c.PlatformNamespace)
	}
	if len(all) > 0 {
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, same := range groups(all) {
		c := same[0]
		fmt.Fprintln(out)
		if err := output.Message(out, "", fmt.Sprintf("%s: %s", c.place(), cmp.Or(c.Message, c.Warning)), c.Remedy); err != nil {
			return err
		}
		for _, other := range same[1:] {
			fmt.Fprintf(out, "  also %s\n", other.place())
		}
	}
	_, err := io.WriteString(out, summary(manifests, all))
	return err
}

// groups returns the workloads with a message, those with the same cause and remedy together.
func groups(all []checked) (groups [][]checked) {
	type cause struct {
		namespace string
		reason    verdict.Reason
		remedy    string
	}
	at := map[cause]int{} // index in groups
	for _, c := range all {
		if c.Message == "" && c.Warning == "" {
			continue
		}
		key := cause{c.Namespace, c.Reason, c.Remedy}
		i, known := at[key]
		if !known || c.Remedy == "" {
			at[key] = len(groups)
			groups = append(groups, []checked{c})
			continue
		}
		groups[i] = append(groups[i], c)
	}
	return groups
}

// JUnit XML, in the schema of Ant's junit task, which CI systems read.
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
