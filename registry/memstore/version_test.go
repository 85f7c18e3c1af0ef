package memstore

import (
	"math"
	"testing"

	"drey.dev/drey/registry"
)

// TestVersionOverflow: the version after the greatest is 1, not negative.
func TestVersionOverflow(t *testing.T) {
	s := New()
	o, err := s.Create(t.Context(), registry.Object{Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: "n", Name: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	o.Metadata.ResourceVersion = math.MaxInt32
	s.objects[o.Key()] = o
	if o, err = s.Update(t.Context(), o, math.MaxInt32); err != nil || o.Metadata.ResourceVersion != 1 {
		t.Errorf("got version %d (%v), want 1", o.Metadata.ResourceVersion, err)
	}
}
