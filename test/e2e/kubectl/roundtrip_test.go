package kubectl

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/documents"
)

// registryObjects have what a custom resource keeps in annotations: names, digits and labels
// that Kubernetes does not accept, and a display name.
const registryObjects = `
apiVersion: drey.dev/v1
kind: DeploymentTarget
metadata: {name: any-name, namespace: PLATFORM}
spec: {name: camelCase_target, kubernetes: {namespace: PLATFORM}}
---
kind: DeploymentTarget
metadata: {name: fromRest, namespace: PLATFORM, labels: {not a label: "ä ö", team: nuts}, annotations: {note: "line\nbreak"}}
spec: {kubernetes: {namespace: PLATFORM}}
---
kind: Deployment
metadata: {name: one, displayName: Top Speed, namespace: PLATFORM}
spec: {deploymentTargetName: fromRest, state: CANCELLED, digits: [1.0, 12345678901234567890.10, 1e3], nested: {none: null, text: "1.20"}}
---
apiVersion: drey.dev/v1
kind: SessionCluster
metadata: {name: shared, namespace: PLATFORM, labels: {team: nuts}}
spec: {deploymentTargetName: camelCase_target}
`

// TestOutputRoundTrip: what drey and kubectl print goes back in, by both, and changes nothing.
func TestOutputRoundTrip(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	platform := w.Namespace(t)
	run := w.plugin(t, w.Kubeconfig())
	drey := func(input string, args ...string) string {
		t.Helper()
		out, code := run(input, args...)
		if code != 0 {
			t.Fatalf("kubectl drey %s: exit code %d: %s", strings.Join(args, " "), code, out)
		}
		return out
	}
	applied := drey(strings.ReplaceAll(registryObjects, "PLATFORM", platform), "apply", "-f", "-")
	if strings.Count(applied, " created\n") != 4 {
		t.Fatalf("apply: got %s, want 4 lines created", applied)
	}
	for command, objects := range map[string]int{"targets": 2, "deployments": 1, "sessionclusters": 1} {
		for _, form := range []string{"drey.dev/v1", "v1"} {
			get := []string{command, "get", "-n", platform, "-o", "yaml", "--api-version", form}
			before := drey("", get...)
			if applied := drey(before, "apply", "-f", "-"); strings.Count(applied, " unchanged\n") != objects {
				t.Errorf("drey %s of %s | drey apply: got %s, want %d lines unchanged", command, form, applied, objects)
			}
			if form == "drey.dev/v1" {
				w.MustKubectl(t, before, "apply", "-f", "-")
				w.MustKubectl(t, before, "replace", "-f", "-")
				w.MustKubectl(t, before, "apply", "--server-side", "--force-conflicts", "-f", "-")
			}
			if after := drey("", get...); after != before {
				t.Errorf("drey %s of %s after kubectl apply and replace:\n%s\nwant\n%s", command, form, after, before)
			}
		}
	}
	for resource, objects := range map[string]int{"deploymenttargets.drey.dev": 2, "deployments.drey.dev": 1, "sessionclusters.drey.dev": 1} {
		printed := w.MustKubectl(t, "", "get", resource, "-n", platform, "-o", "yaml")
		if applied := drey(printed, "apply", "-f", "-"); strings.Count(applied, " unchanged\n") != objects {
			t.Errorf("kubectl get %s | drey apply: got %s, want %d lines unchanged", resource, applied, objects)
		}
	}
}

// TestOutputRoundTripRandom: random objects of all kinds, as lists of custom resources, go back in
// by drey apply, kubectl apply and kubectl replace, and change nothing.
func TestOutputRoundTripRandom(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	platform := w.Namespace(t)
	run := w.plugin(t, w.Kubeconfig())
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	const objects = 8
	for _, kind := range []struct{ name, command string }{{"DeploymentTarget", "targets"}, {"Deployment", "deployments"}, {"SessionCluster", "sessionclusters"}} {
		var items []json.RawMessage
		for i := range objects {
			items = append(items, documents.Random(random, kind.name, i))
		}
		input, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": kind.name + "List", "items": items})
		if err != nil {
			t.Fatal(err)
		}
		if out, code := run(string(input), "apply", "-n", platform, "-f", "-"); code != 0 {
			t.Fatalf("%s: %s", input, out)
		}
		for _, format := range []string{"yaml", "json"} {
			get := []string{kind.command, "list", "-n", platform, "-o", format}
			before, _ := run("", get...)
			if out, code := run(before, "apply", "-f", "-"); code != 0 || strings.Count(out, " unchanged\n") != objects {
				t.Errorf("drey %s | drey apply: got %s, want %d lines unchanged\n%s", strings.Join(get, " "), out, objects, before)
			}
			w.MustKubectl(t, before, "apply", "-f", "-")
			w.MustKubectl(t, before, "replace", "-f", "-")
			if after, _ := run("", get...); after != before {
				t.Errorf("drey %s after kubectl apply and replace:\n%s\nwant\n%s", strings.Join(get, " "), after, before)
			}
		}
	}
}
