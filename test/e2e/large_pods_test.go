package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// largeWorkload returns a Pod, or a Deployment, with one container.
func largeWorkload(kind string, container map[string]any) map[string]any {
	labels := map[string]any{"app": "large"}
	spec := map[string]any{"containers": []any{container}}
	o := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "large", "labels": labels}, "spec": spec}
	if kind == "Deployment" {
		o["apiVersion"] = "apps/v1"
		o["spec"] = map[string]any{"selector": map[string]any{"matchLabels": labels}, "template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}}
	}
	return o
}

// TestLargePods creates pods near the size limits in a namespace without a target: Flink is
// denied and nginx is allowed, by the webhooks and, while drey is down, by the policy.
func TestLargePods(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	namespace := w.Namespace(t)
	long, short, longer := slices.Repeat([]string{strings.Repeat("a", 115_000)}, 11), slices.Repeat([]string{"-Da"}, 20_000), slices.Repeat([]string{"-Da"}, 100_000)
	variables := make([]map[string]any, 5_000)
	for i := range variables { // of equal names the API server warns, up to a limit
		variables[i] = map[string]any{"name": fmt.Sprint("A", i), "value": "b"}
	}
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
		name      string
		denied    bool
		container map[string]any
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
	check := func(t *testing.T, kind, name string, denied bool, container map[string]any) {
		t.Helper()
		denial := w.deniedOrWarned(t, namespace, largeWorkload(kind, container))
		if w.drey == nil && kind == "Pod" { // the policy
			if err := w.createAndDelete(t.Context(), namespace, largeWorkload(kind, container)); err != nil {
				denial = err.Error()
			}
		}
		if got := denial != ""; got != denied || got && !strings.Contains(denial, "has no DeploymentTarget") {
			t.Errorf("%s, %s: denied: got %t, want %t: %.300v", kind, name, got, denied, denial)
		}
	}
	for _, kind := range []string{"Pod", "Deployment"} {
		for _, s := range shapes {
			check(t, kind, s.name, s.denied, s.container)
		}
	}
	w.killDrey(t)
	w.awaitPolicy(t, namespace)
	for _, s := range shapes {
		check(t, "Pod", s.name+", drey is down", s.denied, s.container)
	}
	check(t, "Deployment", "nginx of 20,000 arguments, drey is down", false, nginx(map[string]any{"args": short}))
}
