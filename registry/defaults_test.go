package registry_test

import (
	"encoding/json"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

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
