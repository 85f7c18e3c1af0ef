package docs

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestWorkflows: the workflow ci runs the make targets of .ci/run, and all workflows run
// targets that exist.
func TestWorkflows(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root, ".ci/run"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, target := range regexp.MustCompile(`(?m)^\s*run ([a-z-]+)`).FindAllStringSubmatch(string(script), -1) {
		want[target[1]] = true
	}
	if !want["test"] {
		t.Fatalf("targets of .ci/run: got %v, want test among them", want)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows: got %v (%v)", files, err)
	}
	for _, file := range files {
		targets := workflowTargets(t, file)
		for target := range targets {
			if !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("%s: no target make %s", file, target)
			}
		}
		if filepath.Base(file) == "ci.yml" && !maps.Equal(targets, want) {
			t.Errorf("targets of ci.yml: got %q, want those of .ci/run, %q", slices.Sorted(maps.Keys(targets)), slices.Sorted(maps.Keys(want)))
		}
	}
}

// workflowTargets returns the make targets of a workflow, those of its matrix included.
func workflowTargets(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var w struct {
		Jobs map[string]struct {
			Strategy struct{ Matrix struct{ Target []string } }
			Steps    []struct{ Run string }
		}
	}
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	targets := map[string]bool{}
	add := func(words string) {
		for word := range strings.FieldsSeq(words) {
			if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(word) {
				return // a variable
			}
			targets[word] = true
		}
	}
	for _, job := range w.Jobs {
		for _, target := range job.Strategy.Matrix.Target {
			add(target)
		}
		for _, step := range job.Steps {
			if words, ok := strings.CutPrefix(step.Run, "make "); ok {
				add(words)
			}
		}
	}
	return targets
}
