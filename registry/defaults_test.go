package registry_test

import (
	"encoding/json"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

// withoutDefaults is a store that does not keep DeploymentDefaults.
type withoutDefaults struct{ *memstore.Store }

func (s withoutDefaults) Capabilities() registry.Capabilities {
	c := s.Store.Capabilities()
	c.DeploymentDefaults = false
	return c
}

func TestDefaultsNotSupported(t *testing.T) {
	r, err := registry.New(t.Context(), withoutDefaults{memstore.New()}, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.GetDefaults(t.Context(), registry.DefaultNamespace, registry.Cached)
	if err != nil || string(o.Spec) != "{}" {
		t.Errorf("get: got %+v, %v", o, err)
	}
	if _, _, err := r.Put(t.Context(), o, registry.Precondition{}, nil); registry.ReasonOf(err) != registry.ReasonNotSupported {
		t.Errorf("put: got %v", err)
	}
	if _, err := r.Create(t.Context(), registry.Object{Kind: registry.Deployment, Metadata: registry.Metadata{Namespace: registry.DefaultNamespace, Name: "orders"}, Spec: json.RawMessage("{}")}, nil); err != nil {
		t.Errorf("create a Deployment: %v", err)
	}
}

// TestDeleteNamespaceWithDefaults: a new platform namespace of the same name has no defaults.
func TestDeleteNamespaceWithDefaults(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{Namespaces: []string{"team-a"}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.GetDefaults(t.Context(), "team-a", registry.Cached)
	if err != nil {
		t.Fatal(err)
	}
	o.Spec = json.RawMessage(`{"template":{}}`)
	if _, _, err := r.Put(t.Context(), o, registry.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.DeleteNamespace(t.Context(), "team-a"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CreateNamespace(t.Context(), "team-a"); err != nil {
		t.Fatal(err)
	}
	if o, err = r.GetDefaults(t.Context(), "team-a", registry.Consistent); err != nil || string(o.Spec) != "{}" {
		t.Errorf("got %s, %v, want no defaults", o.Spec, err)
	}
}
