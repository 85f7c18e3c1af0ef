package main

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/test/framework/drey"
)

// TestCrash is a short run of make soak-crash.
func TestCrash(t *testing.T) {
	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), settings{rounds: 5, writers: 16, names: 200, program: program, dataDir: t.TempDir(), out: t.Output()}); err != nil {
		t.Error(err)
	}
}

// TestLedgerViolations compares a ledger with registries that lost, changed or half wrote an
// object.
func TestLedgerViolations(t *testing.T) {
	object := func(kind registry.Kind, name string, version int32, spec string) registry.Object {
		at := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
		return registry.Object{Kind: kind, Spec: json.RawMessage(spec), Metadata: registry.Metadata{
			ID: "id-" + name, Namespace: "w", Name: name, CreatedAt: at, ModifiedAt: at, ResourceVersion: version,
		}}
	}
	target := object(registry.DeploymentTarget, "a", 3, `{}`)
	deployment := object(registry.Deployment, "b", 1, `{"deploymentTargetName":"a"}`)
	update := func(o registry.Object, change func(*registry.Object)) registry.Object {
		o = o.Clone()
		change(&o)
		return o
	}
	newer := update(target, func(o *registry.Object) {
		o.Metadata.ResourceVersion = 4
		o.Metadata.Labels = map[string]string{"serial": "9"}
	})
	torn := update(newer, func(o *registry.Object) { o.Metadata.Labels = nil })
	created := object(registry.DeploymentTarget, "c", 1, `{}`)
	sent := update(created, func(o *registry.Object) {
		o.Metadata = registry.Metadata{Namespace: "w", Name: "c", ResourceVersion: 1}
	})
	tornNew := update(created, func(o *registry.Object) { o.Spec = json.RawMessage(`{"x":1}`) })
	lone := object(registry.Deployment, "d", 1, `{}`)

	for rule, c := range map[string]struct {
		pending *attempt
		put     []registry.Object
		lost    []registry.Object
		want    string // empty: no violation
	}{
		"no violation":                        {},
		"object lost":                         {lost: []registry.Object{lone}, want: "Deployment w/d is lost"},
		"update lost":                         {put: []registry.Object{update(target, func(o *registry.Object) { o.Metadata.ResourceVersion = 2 })}, want: "differs from its acknowledged state"},
		"object changed":                      {put: []registry.Object{torn}, want: "differs from its acknowledged state"},
		"deleted object back":                 {put: []registry.Object{object(registry.Deployment, "deleted", 1, `{}`)}, want: "exists after its deletion"},
		"unknown object":                      {put: []registry.Object{created}, want: "was never created"},
		"dangling reference":                  {pending: &attempt{key: target.Key(), before: &target}, lost: []registry.Object{target}, want: "refers to DeploymentTarget a"},
		"pending update applied":              {pending: &attempt{key: target.Key(), before: &target, after: &newer}, put: []registry.Object{newer}},
		"pending update not applied":          {pending: &attempt{key: target.Key(), before: &target, after: &newer}},
		"pending update half applied":         {pending: &attempt{key: target.Key(), before: &target, after: &newer}, put: []registry.Object{torn}, want: "half-written"},
		"pending update lost the object":      {pending: &attempt{key: target.Key(), before: &target, after: &newer}, lost: []registry.Object{target, deployment}, want: "half-written"},
		"acknowledged update not applied":     {pending: &attempt{key: target.Key(), before: &target, after: &newer, acknowledged: true}, want: "differs from its acknowledged state"},
		"pending creation applied":            {pending: &attempt{key: created.Key(), after: &sent}, put: []registry.Object{created}},
		"pending creation not applied":        {pending: &attempt{key: created.Key(), after: &sent}},
		"pending creation half applied":       {pending: &attempt{key: created.Key(), after: &sent}, put: []registry.Object{tornNew}, want: "half-written"},
		"acknowledged creation not applied":   {pending: &attempt{key: created.Key(), after: &sent, acknowledged: true}, want: "differs from its acknowledged state"},
		"pending deletion applied":            {pending: &attempt{key: lone.Key(), before: &lone}, lost: []registry.Object{lone}},
		"pending deletion not applied":        {pending: &attempt{key: lone.Key(), before: &lone}},
		"pending deletion changed the object": {pending: &attempt{key: target.Key(), before: &target}, put: []registry.Object{torn}, want: "half-written"},
		"acknowledged deletion not applied":   {pending: &attempt{key: lone.Key(), before: &lone, acknowledged: true}, want: ", want absent"},
	} {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			l := newLedger()
			for _, o := range []registry.Object{target, deployment, lone} {
				l.record(o.Key(), &o)
			}
			l.record(registry.Key{Kind: registry.Deployment, Namespace: "w", Name: "deleted"}, nil)
			l.pending = c.pending
			found := maps.Clone(l.objects)
			for _, o := range c.put {
				found[o.Key()] = o
			}
			for _, o := range c.lost {
				delete(found, o.Key())
			}
			got := strings.Join(l.compare(found), "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if again := l.compare(found); c.want == "" && len(again) > 0 {
				t.Errorf("second comparison: got %q, want no violation", again)
			}
		})
	}
}
