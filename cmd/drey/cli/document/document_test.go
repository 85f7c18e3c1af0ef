package document

import (
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
)

// TestReadErrors names the document, and what it lacks.
func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"spec: {}\n": "document 1: metadata.name is missing",
		"metadata: {name: a}\n---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: b}\n": `document 2: ConfigMap "b": want kind DeploymentTarget`,
		"apiVersion: drey.dev/v9\nkind: Deployment\nmetadata: {name: a}\n":                 "apiVersion drey.dev/v9; want drey.dev/v1 or v1",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n":                     "apiVersion apps/v1; want drey.dev/v1 or v1",
		"apiVersion: v1\nkind: List\nitems:\n- metadata: {name: a}\n- kind: Deployment\n":  "document 1: item 2: metadata.name is missing",
		"apiVersion: v1\nkind: DeploymentTargetList\nitems:\n- spec: {}\n":                 "item 1: metadata.name is missing",
	} {
		if _, err := Read([]byte(text), "DeploymentTarget"); err == nil || !strings.Contains(err.Error(), want) || command.CodeOf(err) != command.ExitUsage {
			t.Errorf("%s: got the error %v, want one with %q", text, err, want)
		}
	}
}
