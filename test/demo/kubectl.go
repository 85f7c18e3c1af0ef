package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// commandError is a command that failed, with what it printed.
type commandError struct {
	command, output string
}

func (e *commandError) Error() string { return fmt.Sprintf("%s: %s", e.command, e.output) }

// kubectl runs kubectl and shows the command and what it prints.
func (s *show) kubectl(ctx context.Context, args ...string) error {
	fmt.Printf("   $ kubectl %s\n", strings.Join(args, " "))
	out, err := s.output(ctx, args...)
	if out != "" {
		note("%s", strings.ReplaceAll(out, "\n", "\n   "))
	}
	return err
}

// apply applies one of the manifests, with the places in it filled in.
func (s *show) apply(ctx context.Context, namespace, manifest string, places *strings.Replacer) error {
	path := filepath.Join("test", "demo", "manifests", manifest)
	if places == nil {
		return s.kubectl(ctx, "apply", "-n", namespace, "-f", path)
	}
	text, err := manifests.ReadFile("manifests/" + manifest)
	if err != nil {
		return err
	}
	filled := filepath.Join(s.cluster.Dir(), manifest)
	if err := os.WriteFile(filled, []byte(places.Replace(string(text))), 0o600); err != nil {
		return err
	}
	return s.kubectl(ctx, "apply", "-n", namespace, "-f", filled)
}

// output runs kubectl in silence.
func (s *show) output(ctx context.Context, args ...string) (string, error) {
	out, err := s.cluster.KubectlCommand(ctx, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, &commandError{"kubectl " + strings.Join(args, " "), text}
	}
	return text, nil
}
