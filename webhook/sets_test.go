package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

// switched is a registry that lacks its targets until it is refreshed.
type switched struct {
	webhook.Registry
	refreshed bool
}

func (s *switched) Targets(namespace string) []registry.Target {
	if !s.refreshed {
		return nil
	}
	return s.Registry.Targets(namespace)
}

// TestRefreshBeforeDenial: a target that the cache lacks admits a workload, and a cache that is
// behind makes the denial one that is retried.
func TestRefreshBeforeDenial(t *testing.T) {
	for rule, c := range map[string]struct {
		namespace string
		err       error
		allowed   bool
		calls     int
		code      int
		says      string
	}{
		"the target is new":    {"flink", nil, true, 1, 0, ""},
		"there is no target":   {"other", nil, false, 1, 403, `namespace "other" has no DeploymentTarget`},
		"the cache is behind":  {"other", errors.New("behind"), false, 1, 503, "if you have just registered one, try again"},
		"an excluded workload": {"drey-system", nil, true, 0, 0, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			calls, s := 0, &switched{Registry: fixtures.Index(t, "flink", []string{"default/new"})}
			handler := webhook.New(webhook.Options{
				Registry: s, Log: slog.New(slog.DiscardHandler), Exclude: []string{"drey-system"},
				Refresh: func(context.Context) error { calls++; s.refreshed = true; return c.err },
			}).Handlers()[config.PathLabelPods]
			for range 2 { // the second review finds the target in the cache
				a := readAnswer(t, send(handler, reviewOf(t, pod(), c.namespace)).Body.Bytes())
				if a.Allowed != c.allowed || !a.Allowed && (a.Status.Code != c.code || !strings.Contains(a.Status.Message, c.says)) {
					t.Errorf("got %+v, want allowed: %t, code %d, %q", a, c.allowed, c.code, c.says)
				}
				if c.allowed {
					if calls != c.calls {
						t.Errorf("got %d refreshes, want %d", calls, c.calls)
					}
				}
			}
		})
	}
}

// TestAwaitRegistered: a pod in a namespace with a target waits for the label of the namespace,
// which the policy reads. Nothing else does.
func TestAwaitRegistered(t *testing.T) {
	for rule, c := range map[string]struct {
		path, namespace string
		dryRun          bool
		want            int
	}{
		"a pod":                  {config.PathLabelPods, "flink", false, 1},
		"a pod in a dry run":     {config.PathLabelPods, "flink", true, 0},
		"a pod without a target": {config.PathLabelPods, "other", false, 0},
		"labels of a workload":   {config.PathLabelWorkloads, "flink", false, 0},
		"a workload":             {config.PathValidateWorkloads, "flink", false, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			waits := 0
			handler := newWebhooks(t, []string{"default/target"}, webhook.Options{AwaitRegistered: func(context.Context, string) { waits++ }}).Handlers()[c.path]
			object := pod()
			if c.path != config.PathLabelPods {
				object = map[string]any{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": map[string]any{"name": "d"}, "spec": map[string]any{"template": pod()}}
			}
			send(handler, dryRunOf(t, reviewOf(t, object, c.namespace), c.dryRun))
			if waits != c.want {
				t.Errorf("got %d waits, want %d", waits, c.want)
			}
		})
	}
}

// TestDryRunWarns: a dry run of a set has no target yet, so it warns of its absence. Other
// denials stay.
func TestDryRunWarns(t *testing.T) {
	conflict := pod()
	conflict["metadata"].(map[string]any)["labels"].(map[string]any)["vvpNamespace"] = "elsewhere"
	for rule, c := range map[string]struct {
		object    map[string]any
		namespace string
		dryRun    bool
		allowed   bool
		warning   string
	}{
		"no target":              {pod(), "other", false, false, ""},
		"no target, dry run":     {pod(), "other", true, true, `drey would deny this: namespace "other" has no DeploymentTarget`},
		"conflict, dry run":      {conflict, "flink", true, false, ""},
		"with a target, dry run": {pod(), "flink", true, true, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			handler := newHandlers(t, "default/target")[config.PathLabelPods]
			a := readAnswer(t, send(handler, dryRunOf(t, reviewOf(t, c.object, c.namespace), c.dryRun)).Body.Bytes())
			if a.Allowed != c.allowed || !strings.HasPrefix(strings.Join(a.Warnings, "\n"), c.warning) || (len(a.Warnings) > 0) != (c.warning != "") {
				t.Errorf("got allowed: %t, warnings %q; want %t, %q", a.Allowed, a.Warnings, c.allowed, c.warning)
			}
		})
	}
}

// dryRunOf sets the field dryRun of a review.
func dryRunOf(t testing.TB, body []byte, dryRun bool) []byte {
	t.Helper()
	var review map[string]any
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatal(err)
	}
	review["request"].(map[string]any)["dryRun"] = dryRun
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
