package e2e

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

// TestGatePolicyFixtures tries to make every pod of the fixtures while drey is
// down. In a namespace without a target the built-in policy refuses what drey itself
// would refuse there, and nothing else; in one that has a target it refuses nothing.
func TestGatePolicyFixtures(t *testing.T) {
	t.Parallel()
	w, err := newWorld(t.Context(), cluster.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	open, closed := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", open)
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	// The policy goes by the pod alone, so drey is asked what it makes of the pod without its owners.
	judge := webhook.New(webhook.Options{Registry: fixtures.Index(t, closed, nil), Owners: fixtures.Objects{}, Log: slog.New(slog.DiscardHandler)}).Handlers()[config.PathLabelPods]

	gate := func(namespace string, pod map[string]any) (refused bool) {
		t.Helper()
		pod = clone(t, pod)
		metadata := pod["metadata"].(map[string]any)
		metadata["namespace"] = namespace
		_, err := w.create(t.Context(), namespace, pod, "All")
		if err != nil && (!apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "drey-gate")) {
			t.Fatal(err)
		}
		return err != nil
	}
	stranger := map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "jm", "labels": map[string]any{"type": "flink-native-kubernetes"}},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2"}}},
	}
	eventually.OK(t, 10*time.Second, func() error { // the API server learns of a policy within a second or so
		if !gate(closed, stranger) {
			return errors.New("the policy is not there yet")
		}
		return nil
	})

	var pods, refused int
	for _, c := range fixtures.All(t) {
		if c.Kind() != "Pod" {
			continue
		}
		pods++
		denied := denies(t, judge, c.Object, closed)
		if denied {
			refused++
		}
		if got := gate(closed, c.Object); got != (denied && c.PolicyMisses == "") {
			t.Errorf("%s (%s): without a target drey refuses it: %t, the policy refuses it: %t", c.Name, c.Rule, denied, got)
		}
		if gate(open, c.Object) {
			t.Errorf("%s (%s): the policy refuses it in a namespace that has a target", c.Name, c.Rule)
		}
	}
	t.Logf("%d pods, of which %d are refused without a target", pods, refused)
	if refused < 20 || pods-refused < 20 {
		t.Error("too few fixtures of the one kind or the other to tell")
	}
}

// denies asks a handler whether it would keep a pod out of a namespace.
func denies(t *testing.T, handler http.Handler, pod map[string]any, namespace string) bool {
	t.Helper()
	v := askOne(t, handler, "Pod", namespace, pod)
	if reason := v.AuditAnnotations["verdict"]; !v.Allowed && reason != "NoDeploymentTarget" {
		t.Fatalf("denied for %s", reason)
	}
	return !v.Allowed
}
