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

// TestCrash is the short form of make soak-crash.
func TestCrash(t *testing.T) {
	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), settings{rounds: 5, writers: 16, names: 200, program: program, dataDir: t.TempDir(), out: t.Output()}); err != nil {
		t.Error(err)
	}
}

// TestLedgerViolations shows that a registry which is not what the writer
// was told does not pass.
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
	anew := object(registry.DeploymentTarget, "c", 1, `{}`)
	sent := update(anew, func(o *registry.Object) {
		o.Metadata = registry.Metadata{Namespace: "w", Name: "c", ResourceVersion: 1}
	})
	tornNew := update(anew, func(o *registry.Object) { o.Spec = json.RawMessage(`{"x":1}`) })
	lone := object(registry.Deployment, "d", 1, `{}`)

	for rule, c := range map[string]struct {
		doubt *attempt
		put   []registry.Object
		gone  []registry.Object
		says  string // empty: it is as it should be
	}{
		"all there":                           {says: ""},
		"an object is lost":                   {gone: []registry.Object{lone}, says: "Deployment w/d is lost"},
		"an update is lost":                   {put: []registry.Object{update(target, func(o *registry.Object) { o.Metadata.ResourceVersion = 2 })}, says: "was acknowledged as"},
		"an object is another":                {put: []registry.Object{torn}, says: "was acknowledged as"},
		"an object is back":                   {put: []registry.Object{object(registry.Deployment, "deleted", 1, `{}`)}, says: "is back"},
		"an object is nobody's":               {put: []registry.Object{anew}, says: "nobody made it"},
		"a reference leads nowhere":           {doubt: &attempt{key: target.Key(), before: &target}, gone: []registry.Object{target}, says: "refers to DeploymentTarget a"},
		"an update in doubt took place":       {doubt: &attempt{key: target.Key(), before: &target, after: &newer}, put: []registry.Object{newer}},
		"an update in doubt did not":          {doubt: &attempt{key: target.Key(), before: &target, after: &newer}},
		"an update in doubt did so by half":   {doubt: &attempt{key: target.Key(), before: &target, after: &newer}, put: []registry.Object{torn}, says: "half-written"},
		"an update in doubt lost the object":  {doubt: &attempt{key: target.Key(), before: &target, after: &newer}, gone: []registry.Object{target, deployment}, says: "half-written"},
		"an update without its answer's end":  {doubt: &attempt{key: target.Key(), before: &target, after: &newer, acknowledged: true}, says: "was acknowledged as"},
		"a creation in doubt took place":      {doubt: &attempt{key: anew.Key(), after: &sent}, put: []registry.Object{anew}},
		"a creation in doubt did not":         {doubt: &attempt{key: anew.Key(), after: &sent}},
		"a creation in doubt did so by half":  {doubt: &attempt{key: anew.Key(), after: &sent}, put: []registry.Object{tornNew}, says: "half-written"},
		"a creation without its answer's end": {doubt: &attempt{key: anew.Key(), after: &sent, acknowledged: true}, says: "was acknowledged as"},
		"a deletion in doubt took place":      {doubt: &attempt{key: lone.Key(), before: &lone}, gone: []registry.Object{lone}},
		"a deletion in doubt did not":         {doubt: &attempt{key: lone.Key(), before: &lone}},
		"a deletion in doubt did something":   {doubt: &attempt{key: target.Key(), before: &target}, put: []registry.Object{torn}, says: "half-written"},
		"a deletion without its answer's end": {doubt: &attempt{key: lone.Key(), before: &lone, acknowledged: true}, says: "was acknowledged as not there"},
	} {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			l := newLedger()
			for _, o := range []registry.Object{target, deployment, lone} {
				l.keep(o.Key(), &o)
			}
			l.keep(registry.Key{Kind: registry.Deployment, Namespace: "w", Name: "deleted"}, nil)
			l.doubt = c.doubt
			found := maps.Clone(l.kept)
			for _, o := range c.put {
				found[o.Key()] = o
			}
			for _, o := range c.gone {
				delete(found, o.Key())
			}
			got := strings.Join(l.compare(found), "\n")
			if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("it found %q, want %q", got, c.says)
			}
			if again := l.compare(found); c.says == "" && len(again) > 0 {
				t.Errorf("what was settled is not: %q", again)
			}
		})
	}
}
