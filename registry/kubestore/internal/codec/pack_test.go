package codec

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/registry"
)

// TestPack: an object is the same after it was packed, except for its kind, platform namespace and id.
func TestPack(t *testing.T) {
	full := registry.Object{Spec: json.RawMessage(`{"kubernetes":{"namespace":"flink"}}`), Metadata: registry.Metadata{
		Name: "orders", DisplayName: "My Orders", ResourceVersion: 1 << 30,
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), ModifiedAt: time.Date(2026, 1, 2, 3, 4, 6, 1, time.UTC),
		Labels: map[string]string{"team": "nuts", "": "", "b": "2", "a": "1"}, Annotations: map[string]string{"note": "any"},
	}}
	empty := registry.Object{Spec: json.RawMessage{}, Metadata: registry.Metadata{Labels: map[string]string{}, Annotations: map[string]string{}}}
	for name, o := range map[string]registry.Object{"all fields": full, "no field": empty} {
		t.Run(name, func(t *testing.T) {
			p := Pack(o, "object-name")
			if diff := cmp.Diff(o, p.Unpack()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if p.Name() != o.Metadata.Name || p.ObjectName() != "object-name" {
				t.Errorf("names %q and %q", p.Name(), p.ObjectName())
			}
			if same := Pack(o, o.Metadata.Name); same.ObjectName() != o.Metadata.Name {
				t.Errorf("metadata.name %q, want the name", same.ObjectName())
			}
			changed := p.Unpack()
			changed.Metadata.Labels["team"] = "bolts"
			if Pack(changed, "object-name") == p {
				t.Error("objects with different labels are equal")
			}
		})
	}
}
