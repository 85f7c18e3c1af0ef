package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// commandError is the error of a command, with its output.
type commandError struct {
	command, output string
}

func (e *commandError) Error() string { return fmt.Sprintf("%s: %s", e.command, e.output) }

// kubectl runs kubectl, and prints the command and its output.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	fmt.Printf("   $ kubectl %s\n", strings.Join(args, " "))
	out, err := d.output(ctx, args...)
	if out != "" {
		d.Detail("%s", out)
	}
	return err
}

// apply applies one of the manifests, with its placeholders replaced; nil: it has none.
func (d *demo) apply(ctx context.Context, namespace, manifest string, values *strings.Replacer) error {
	path := filepath.Join("test", "demo", "manifests", manifest)
	if values == nil {
		return d.kubectl(ctx, "apply", "-n", namespace, "-f", path)
	}
	text, err := manifests.ReadFile("manifests/" + manifest)
	if err != nil {
		return err
	}
	filled := filepath.Join(d.cluster.Dir(), manifest)
	if err := os.WriteFile(filled, []byte(values.Replace(string(text))), 0o600); err != nil {
		return err
	}
	return d.kubectl(ctx, "apply", "-n", namespace, "-f", filled)
}

// output runs kubectl and returns its output.
func (d *demo) output(ctx context.Context, args ...string) (string, error) {
	out, err := d.cluster.KubectlCommand(ctx, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, &commandError{"kubectl " + strings.Join(args, " "), text}
	}
	return text, nil
}
