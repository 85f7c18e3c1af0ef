package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
)

// manifestOf is the manifest of a pod, or of a Deployment with it.
func manifestOf(t *testing.T, kind string, container map[string]any) string {
	t.Helper()
	labels := map[string]any{"app": "large"}
	spec := map[string]any{"containers": []any{container}}
	o := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "large", "labels": labels}, "spec": spec}
	if kind == "Deployment" {
		o["apiVersion"] = "apps/v1"
		o["spec"] = map[string]any{"selector": map[string]any{"matchLabels": labels}, "template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}}
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLargePods: in a namespace without a target Flink is refused and nginx is
// not, whatever the size of its pod: by the webhooks, and for pods by the policy while
// drey is down.
func TestLargePods(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	w, err := newWorld(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	namespace := w.Namespace(t)
	long, short, longer := slices.Repeat([]string{strings.Repeat("a", 115_000)}, 11), slices.Repeat([]string{"-Da"}, 20_000), slices.Repeat([]string{"-Da"}, 100_000)
	variables := slices.Repeat([]map[string]any{{"name": "A", "value": "b"}}, 5_000)
	flink := func(more map[string]any) map[string]any {
		c := map[string]any{"name": "main", "image": "flink:2.2", "args": []string{"taskmanager"}}
		maps.Copy(c, more)
		return c
	}
	nginx := func(more map[string]any) map[string]any {
		c := flink(more)
		c["image"] = "nginx"
		return c
	}
	shapes := []struct {
		name    string
		refused bool
		c       map[string]any
	}{
		{"nginx of 11 long arguments", false, nginx(map[string]any{"args": long})},
		{"nginx of 20,000 arguments", false, nginx(map[string]any{"args": short})},
		{"nginx of 100,000 arguments", false, nginx(map[string]any{"args": longer})},
		{"nginx of 5,000 variables", false, nginx(map[string]any{"args": []string{}, "env": variables})},
		{"Flink of 11 long arguments", true, flink(map[string]any{"args": append([]string{"taskmanager"}, long...)})},
		{"Flink of 20,000 arguments", true, flink(map[string]any{"args": append([]string{"taskmanager"}, short...)})},
		{"Flink of 100,000 arguments", true, flink(map[string]any{"args": append([]string{"taskmanager"}, longer...)})},
		{"Flink of 5,000 variables", true, flink(map[string]any{"env": variables})},
	}
	check := func(t *testing.T, kind, name string, refused bool, container map[string]any) {
		t.Helper()
		out, err := w.RunKubectl(t, manifestOf(t, kind, container), "create", "--dry-run=server", "-n", namespace, "-f", "-")
		if is := err != nil; is != refused || is && !strings.Contains(out, "has no DeploymentTarget") {
			t.Errorf("%s as a %s: %v: %.300s", name, kind, err, out)
		}
	}
	for _, kind := range []string{"Pod", "Deployment"} {
		for _, s := range shapes {
			check(t, kind, s.name, s.refused, s.c)
		}
	}
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, 10*time.Second, func() error {
		if _, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "refused"), "create", "--dry-run=server", "-n", namespace, "-f", "-"); err == nil {
			return fmt.Errorf("the policy is not in effect")
		}
		return nil
	})
	for _, s := range shapes {
		check(t, "Pod", s.name+", while drey is down", s.refused, s.c)
	}
	check(t, "Deployment", "nginx of 20,000 arguments, while drey is down", false, nginx(map[string]any{"args": short}))
}
