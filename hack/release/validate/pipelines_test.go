package validate

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rhysd/actionlint"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/page"
)

const (
	root          = "../../.."
	gitLabCILocal = "gitlab-ci-local@4.61.1" // the newest one that runs on Node.js 20
)

// TestWorkflows: actionlint has no finding in the workflows of the repository.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob(root + "/.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows: got %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lint(t, file, string(text))
	}
}

func lint(t *testing.T, path, text string) {
	t.Helper()
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	findings, err := linter.Lint(path, []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// TestDocumentedWorkflow: actionlint has no finding in the documented workflow of GitHub. Its steps
// install drey from a release, and fail for a workload that admission would deny.
func TestDocumentedWorkflow(t *testing.T) {
	blocks, err := page.CheckedBy(root, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	p := newPipeline(t, "bash", "curl", "sha256sum", "tar")
	p.program(t, "sudo", "exec \"$@\"\n")
	for path, text := range blocks {
		lint(t, path, text)
		var workflow struct {
			Jobs map[string]struct {
				Env   map[string]string
				Steps []struct{ Run string }
			}
		}
		if err := yaml.Unmarshal([]byte(text), &workflow); err != nil {
			t.Fatal(err)
		}
		var script string
		for _, step := range workflow.Jobs["check"].Steps {
			script += step.Run + "\n"
		}
		url := workflow.Jobs["check"].Env["DREY_URL"]
		p.check(t, path, url, func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, "bash", "-e", "-c", p.local(script))
			cmd.Env = append(p.env, "DREY_URL="+p.url)
			return cmd
		})
	}
}

// TestDocumentedPipeline validates the documented pipeline of GitLab with the schema of
// gitlab-ci-local, which then runs the job: it installs drey from a release, and fails for a
// workload that admission would deny.
func TestDocumentedPipeline(t *testing.T) {
	blocks, err := page.CheckedBy(root, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	p := newPipeline(t, "npm", "git", "wget", "sha256sum", "tar")
	p.program(t, "rsync", "exit 0\n") // copies the files for jobs in containers
	tool := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--prefix", tool, gitLabCILocal).CombinedOutput(); err != nil {
		t.Skipf("npm install %s: %v: a registry of npm is required\n%s", gitLabCILocal, err, out)
	}
	for path, text := range blocks {
		var pipeline struct {
			Drey struct{ Variables map[string]string }
		}
		if err := yaml.Unmarshal([]byte(text), &pipeline); err != nil {
			t.Fatal(err)
		}
		url := pipeline.Drey.Variables["DREY_URL"]
		p.write(t, ".gitlab-ci.yml", strings.ReplaceAll(p.local(text), url, p.url))
		if out, err := exec.CommandContext(t.Context(), "git", "init", "--quiet", p.dir).CombinedOutput(); err != nil {
			t.Fatalf("git init: %v\n%s", err, out)
		}
		p.check(t, path, url, func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, filepath.Join(tool, "node_modules", ".bin", "gitlab-ci-local"), "--force-shell-executor", "--home", tool, "drey")
			cmd.Env = p.env
			return cmd
		})
		if report, err := os.ReadFile(filepath.Join(p.dir, "drey.xml")); err != nil || !strings.Contains(string(report), "<testsuite ") {
			t.Errorf("%s: got the report %q, %v, want one of JUnit", path, report, err)
		}
	}
}

// pipeline is a clone of a repository with the manifests of docs/how-to/ci.md, and a release.
type pipeline struct {
	dir, bin, url string
	env           []string
}

// newPipeline skips the test without one of the programs.
func newPipeline(t *testing.T, programs ...string) pipeline {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s not found", program)
		}
	}
	if runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		t.Skip("the documented archive is one for linux/amd64")
	}
	p := pipeline{dir: t.TempDir(), bin: t.TempDir()}
	p.env = append(os.Environ(), "PATH="+p.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	_, p.url = makeRelease(t)
	read, err := page.Read(root, "docs/how-to/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range read.Blocks {
		if b.File != "" {
			p.write(t, b.File, b.Text)
		}
	}
	return p
}

func (p pipeline) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// program adds a script to the PATH.
func (p pipeline) program(t *testing.T, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.bin, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// local returns commands that install to a directory of the test.
func (p pipeline) local(commands string) string {
	return strings.ReplaceAll(commands, "/usr/local/bin", p.bin)
}

// check runs the job with a manifest that admission would deny, then with one that it would allow.
func (p pipeline) check(t *testing.T, path, url string, job func(context.Context) *exec.Cmd) {
	t.Helper()
	if !strings.HasSuffix(url, "/"+version) {
		t.Errorf("%s: got the URL %q, want one of %s", path, url, version)
	}
	run := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := job(ctx)
		cmd.Dir = p.dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	manifest := filepath.Join(p.dir, "deploy", "job.yaml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err == nil || !strings.Contains(out, "would be denied") {
		t.Errorf("%s: job with a denied workload: got %v, want a failure\n%s", path, err, out)
	}
	p.write(t, "deploy/job.yaml", strings.ReplaceAll(string(text), "flink-prod", "flink-staging"))
	if out, err := run(); err != nil {
		t.Errorf("%s: job with an allowed workload: %v\n%s", path, err, out)
	}
}
