package e2e

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	webhookconfig "drey.dev/drey/webhook/config"
)

// TestGatePolicyFixtures creates the pod of every fixture while drey is down. In a
// namespace without a target, the policy drey-gate denies the pods that the webhook denies,
// and no others. In a registered namespace it denies none.
func TestGatePolicyFixtures(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	registered, unregistered := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", registered)
	w.killDrey(t)
	// The policy sees the pod alone, so the handler gets no owners.
	handler := webhook.New(webhook.Options{Registry: fixtures.Index(t, unregistered, nil), Owners: fixtures.Objects{}, Log: slog.New(slog.DiscardHandler)}).Handlers()[webhookconfig.PathLabelPods]

	deniedByPolicy := func(namespace string, pod map[string]any) bool {
		t.Helper()
		pod = deepCopy(t, pod)
		pod["metadata"].(map[string]any)["namespace"] = namespace
		err := w.createAndDelete(t.Context(), namespace, pod)
		if err != nil && (!apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "drey-gate")) {
			t.Fatal(err)
		}
		return err != nil
	}
	jobManagerPod := map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "jm", "labels": map[string]any{"type": "flink-native-kubernetes"}},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2"}}},
	}
	eventually.OK(t, func() error { // the API server follows policies by a watch
		if !deniedByPolicy(unregistered, jobManagerPod) {
			return errors.New("the policy is not in effect")
		}
		return nil
	})

	var pods, denied int
	for _, c := range fixtures.All(t) {
		if c.Kind() != "Pod" {
			continue
		}
		pods++
		byWebhook := deniedByWebhook(t, handler, c.Object, unregistered)
		if byWebhook {
			denied++
		}
		if got, want := deniedByPolicy(unregistered, c.Object), byWebhook && c.PolicyMisses == ""; got != want {
			t.Errorf("%s (%s), no target: denied by the policy: got %t, want %t (denied by the webhook: %t)", c.Name, c.Rule, got, want, byWebhook)
		}
		if deniedByPolicy(registered, c.Object) {
			t.Errorf("%s (%s): denied by the policy in a registered namespace", c.Name, c.Rule)
		}
	}
	t.Logf("%d pods, %d denied without a target", pods, denied)
	if denied < 20 || pods-denied < 20 {
		t.Errorf("%d denied and %d allowed fixtures, want at least 20 of each", denied, pods-denied)
	}
}

// deniedByWebhook reports whether a handler denies a pod for want of a target.
func deniedByWebhook(t *testing.T, handler http.Handler, pod map[string]any, namespace string) bool {
	t.Helper()
	r := review(t, handler, "Pod", namespace, pod, false)
	if reason := r.AuditAnnotations["verdict"]; !r.Allowed && reason != "NoDeploymentTarget" {
		t.Fatalf("denied with reason %s, want NoDeploymentTarget", reason)
	}
	return !r.Allowed
}
