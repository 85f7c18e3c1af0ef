package registry_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

// object is a Deployment or SessionCluster with a spec.
func object(kind registry.Kind, namespace, name, spec string) registry.Object {
	return registry.Object{Kind: kind, Metadata: registry.Metadata{Namespace: namespace, Name: name}, Spec: []byte(spec)}
}

func create(t testing.TB, r *registry.Registry, o registry.Object) registry.Object {
	t.Helper()
	stored, err := r.Create(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// TestLinked: the registered object of a workload, by what it states and by where it runs.
func TestLinked(t *testing.T) {
	store := memstore.New()
	index := registry.NewIndex("drey-system")
	if _, ok := index.Linked(registry.Deployment, "team-a", "flink", "", "orders"); ok {
		t.Error("an empty index has a Deployment")
	}
	r, err := registry.New(t.Context(), store, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a", "team-b"}, Index: index})
	if err != nil {
		t.Fatal(err)
	}
	flink := create(t, r, target("team-a", "flink", "flink"))
	create(t, r, target("team-a", "other", "other"))
	byName := create(t, r, object(registry.Deployment, "team-a", "orders", `{"deploymentTargetName":"flink"}`))
	create(t, r, object(registry.Deployment, "team-a", "by-id", fmt.Sprintf(`{"deploymentTargetId":%q}`, flink.Metadata.ID)))
	create(t, r, object(registry.Deployment, "team-a", "free", `{}`))
	create(t, r, object(registry.SessionCluster, "team-a", "session", `{"deploymentTargetName":"flink"}`))

	for rule, c := range map[string]struct {
		kind                                 registry.Kind
		platform, kubernetes, stated, byName string
		want                                 string
	}{
		"by its name":                        {registry.Deployment, "team-a", "flink", "", "orders", "orders"},
		"by a name that makes the label":     {registry.Deployment, "team-a", "flink", "", "Orders", "orders"},
		"by a stated name":                   {registry.Deployment, "team-a", "flink", "orders", "another", "orders"},
		"by a stated id":                     {registry.Deployment, "team-a", "flink", byName.Metadata.ID, "another", "orders"},
		"its target by id":                   {registry.Deployment, "team-a", "flink", "by-id", "", "by-id"},
		"a session cluster":                  {registry.SessionCluster, "team-a", "flink", "", "session", "session"},
		"another kind":                       {registry.SessionCluster, "team-a", "flink", "", "orders", ""},
		"the id of another kind":             {registry.SessionCluster, "team-a", "flink", byName.Metadata.ID, "", ""},
		"another platform namespace":         {registry.Deployment, "team-b", "flink", "", "orders", ""},
		"the id in another one":              {registry.Deployment, "team-b", "flink", byName.Metadata.ID, "", ""},
		"its target is elsewhere":            {registry.Deployment, "team-a", "other", "", "orders", ""},
		"its target by id is elsewhere":      {registry.Deployment, "team-a", "other", "by-id", "", ""},
		"stated, without a target: anywhere": {registry.Deployment, "team-a", "other", "free", "", "free"},
		"not stated, without a target":       {registry.Deployment, "team-a", "flink", "", "free", ""},
		"unknown":                            {registry.Deployment, "team-a", "flink", "", "unknown", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			got, ok := index.Linked(c.kind, c.platform, c.kubernetes, c.stated, c.byName)
			if ok != (c.want != "") || got.Name != c.want {
				t.Errorf("got %q, %t, want %q", got.Name, ok, c.want)
			}
			if ok && (got.Label() != c.want || got.PlatformNamespace != c.platform || got.Kind != c.kind) {
				t.Errorf("got %+v", got)
			}
		})
	}

	namespaces := index.Namespaces()
	slices.Sort(namespaces)
	if diff := cmp.Diff([]string{"flink", "other"}, namespaces); diff != "" {
		t.Errorf("namespaces with a target (-want +got):\n%s", diff)
	}
	if same, err := r.SameName(t.Context(), registry.Deployment, "team-a", "orders", byName.Metadata.ID); !same || err != nil {
		t.Errorf("name and id: got %t, %v, want the same object", same, err)
	}
	if same, err := r.SameName(t.Context(), registry.Deployment, "team-a", "orders", "free"); same || err != nil {
		t.Errorf("two names: got %t, %v, want two objects", same, err)
	}
	if _, err := r.Delete(t.Context(), byName.Key(), registry.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := index.Linked(registry.Deployment, "team-a", "flink", "", "orders"); ok {
		t.Error("a deleted Deployment is linked")
	}
}

// TestPreviewDelete: the references that keep a target, and what its deletion closes.
func TestPreviewDelete(t *testing.T) {
	for rule, c := range map[string]struct {
		options registry.Options
		others  []registry.Object // beside target flink of team-a
		want    []string          // Afterwards
	}{
		"the only target of its namespace":       {want: []string{`new Flink workloads in Kubernetes namespace "flink", which no other target points at`}},
		"a second one of the platform namespace": {others: []registry.Object{target("team-a", "second", "flink")}},
		"one of another platform namespace": {
			others: []registry.Object{target("team-b", "flink", "flink")},
			want:   []string{`new Flink workloads in Kubernetes namespace "flink" that belong to platform namespace "team-a": only others have targets there`},
		},
		"a registry that shows some targets": {
			options: registry.Options{PartialView: true},
			want:    []string{`new Flink workloads in Kubernetes namespace "flink", unless a target of another platform namespace, which you may not see, points there`},
		},
	} {
		t.Run(rule, func(t *testing.T) {
			c.options.OwnNamespace, c.options.Namespaces = "drey-system", []string{"team-a", "team-b"}
			r, err := registry.New(t.Context(), memstore.New(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			o := create(t, r, target("team-a", "flink", "flink"))
			for _, other := range c.others {
				create(t, r, other)
			}
			create(t, r, object(registry.Deployment, "team-a", "orders", `{"deploymentTargetName":"flink"}`))
			p, err := r.PreviewDelete(t.Context(), o.Key())
			if err != nil {
				t.Fatal(err)
			}
			want := append([]string{`Deployments and SessionClusters in platform namespace "team-a" that refer to it`}, c.want...)
			if diff := cmp.Diff(want, p.Afterwards); diff != "" {
				t.Errorf("afterwards (-want +got):\n%s", diff)
			}
			if len(p.References) != 1 || p.Object.Metadata.ID != o.Metadata.ID {
				t.Errorf("got references %v of %+v", p.References, p.Object)
			}
			if _, err := r.Get(t.Context(), o.Key(), registry.Consistent); err != nil {
				t.Errorf("the preview deleted it: %v", err)
			}
		})
	}
	r := newRegistry(t, memstore.New())
	create(t, r, object(registry.SessionCluster, "default", "session", `{}`))
	p, err := r.PreviewDelete(t.Context(), registry.Key{Kind: registry.SessionCluster, Namespace: "default", Name: "session"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`Deployments in platform namespace "default" that run on it`}, p.Afterwards); diff != "" {
		t.Errorf("of a SessionCluster (-want +got):\n%s", diff)
	}
	if _, err := r.PreviewDelete(t.Context(), registry.Key{Kind: registry.DeploymentTarget, Namespace: "default", Name: "none"}); registry.ReasonOf(err) != registry.ReasonNotFound {
		t.Errorf("of no object: got %v", err)
	}
}
