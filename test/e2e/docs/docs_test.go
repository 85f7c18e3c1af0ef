// Package docs runs the commands of the documents on a control plane, as a reader would, and
// compares their output with the pages. Package page describes the directives of a page; these
// are its worlds:
//
//	cluster    kubectl's context is a control plane without drey; drey install starts one
//	drey       the same, with drey installed and the registry in the cluster
//	operator   the CustomResourceDefinitions of Flink's operators are installed
//	monitoring the CustomResourceDefinitions of reports are installed
//	server     a drey without a cluster serves http://127.0.0.1:8080
//	vvp        a drey without a cluster serves $VVP, in place of Ververica Platform
//
// There is no kubelet: pods are Running without a process, and drey is a process outside
// the cluster that replaces its pods.
package docs

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/page"
)

var only = flag.String("page", "", "part of the path of the pages to run; empty: all")

// program is the path of the drey binary.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(drey.Main(m, &program))
}

const root = "../../.."

// TestCommands runs every command of the pages, and logs those that are not run, with the
// reason.
func TestCommands(t *testing.T) {
	paths, err := page.Paths(root)
	if err != nil {
		t.Fatal(err)
	}
	var total counts
	t.Cleanup(func() {
		t.Logf("all pages: %d commands run, %d not", total.ran.Load(), total.skipped.Load())
	})
	for _, path := range paths {
		name := strings.TrimSuffix(path, ".md")
		if !strings.Contains(name, *only) {
			continue
		}
		p, err := page.Read(root, path)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runPage(t, path, p, &total)
		})
	}
}

// counts are numbers of commands.
type counts struct{ ran, skipped atomic.Int64 }

func runPage(t *testing.T, path string, p page.Page, total *counts) {
	ran, skipped := 0, 0
	var w *world
	for _, b := range p.Blocks {
		if b.NotRun != "" {
			for _, c := range b.Commands {
				skipped++
				t.Logf("%s:%d: not run: %s: %s", path, c.Line, firstLine(c.Text), b.NotRun)
			}
			continue
		}
		if b.File == "" && len(b.Commands) == 0 {
			continue
		}
		if w == nil {
			w = newWorld(t, p.World)
		}
		if b.File != "" {
			file := filepath.Join(w.dir, b.File)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, []byte(b.Text), 0o600)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, c := range b.Commands {
			ran++
			if err := w.run(t, c); err != nil {
				t.Fatalf("%s:%d: %s: %v", path, c.Line, firstLine(c.Text), err)
			}
		}
	}
	t.Logf("%s: %d commands run, %d not", path, ran, skipped)
	total.ran.Add(int64(ran))
	total.skipped.Add(int64(skipped))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// settles bounds waiting for the output of a command that reads what controllers write.
const settles = 2 * time.Minute

var (
	// reads are commands that may be repeated until their output is the expected one.
	reads = regexp.MustCompile(`^(?:kubectl(?: drey)? (?:get|describe|events|targets list|workloads|usage|denials|audit|doctor|explain)|(?:bin/)?drey (?:targets (?:list|get)|workloads|usage|denials|status|audit|doctor|explain|check|jobs|deployments (?:list|get))|curl -s|helm template)\b`)
	// fails are the beginnings of lines of an output after which the exit code is not 0.
	fails = regexp.MustCompile(`(?m)^(?:Error|error|drey:|The .* is invalid|FAIL|\d+ of \d+ workloads? would be denied)`)
)

// run runs a command, and compares its output and whether it succeeds.
func (w *world) run(t *testing.T, c page.Command) error {
	t.Helper()
	text := w.before(c.Text)
	began := time.Now()
	for {
		out, code, err := w.shell.run(text)
		if err != nil {
			return err
		}
		problem := compare(c, out, code)
		if problem == nil {
			t.Logf("%.1fs $ %s\n%s", time.Since(began).Seconds(), c.Text, out)
			return w.after(t, c.Text)
		}
		if !reads.MatchString(c.Text) || time.Since(began) > settles {
			return problem
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func compare(c page.Command, out string, code int) error {
	wantFailure := c.Check && slices.ContainsFunc(c.Output, fails.MatchString)
	switch {
	case code != 0 && !wantFailure:
		return fmt.Errorf("exit code %d\n%s", code, out)
	case code == 0 && wantFailure:
		return fmt.Errorf("exit code 0, and the page shows an error\n%s", out)
	case c.Check && !page.Match(c.Output, out):
		return fmt.Errorf("got\n%s\nthe page has\n%s", out, strings.Join(c.Output, "\n"))
	}
	return nil
}
