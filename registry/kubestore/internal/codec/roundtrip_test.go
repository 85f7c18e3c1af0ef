package codec

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/registry"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// TestRoundTrip: the object of the registry that Encode stored is the one that Decode returns, with the
// labels, annotations, times and digits that Kubernetes has no field for.
func TestRoundTrip(t *testing.T) {
	for kind, spec := range map[registry.Kind]string{
		registry.DeploymentTarget:   `{"kubernetes":{"namespace":"flink"}}`,
		registry.Deployment:         `{"deploymentTargetName":"staging","n":1.50,"big":12345678901234567890.10}`,
		registry.SessionCluster:     `{"deploymentTargetName":"staging"}`,
		registry.DeploymentDefaults: `{"deploymentTargetName":"staging"}`,
	} {
		t.Run(string(kind), func(t *testing.T) {
			r := Resources[kind]
			want := registry.Object{Kind: kind, Spec: json.RawMessage(spec), Metadata: registry.Metadata{
				ID: "11111111-1111-4111-8111-111111111111", Name: "orders", DisplayName: "My Orders", Namespace: "team-a", ResourceVersion: 7,
				CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), ModifiedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
				Labels:      map[string]string{"team": "nuts", "not a key": "any value, also with spaces"},
				Annotations: map[string]string{"note": "any", "drey.dev/id": "of the client, not drey's"},
			}}
			stored := r.New()
			stored.SetName("orders")
			stored.SetNamespace("team-a")
			stored.SetUID(types.UID("22222222-2222-4222-8222-222222222222"))
			stored.SetAnnotations(map[string]string{lastApplied: "{}", "removed": "by the write"})
			if err := r.Encode(want, stored); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, r.Decode(stored)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if labels := stored.GetLabels(); len(labels) != 1 || labels["team"] != "nuts" {
				t.Errorf("labels in Kubernetes: got %v, want the valid one", labels)
			}
			if a := stored.GetAnnotations(); a[lastApplied] != "{}" || a["note"] != "any" || a[v1.AnnotationID] != want.Metadata.ID {
				t.Errorf("annotations in Kubernetes: got %v, want kubectl's, the client's and the id", a)
			}
			view := r.Decode(stored)
			if hidden := Size(stored, view) - view.Size(); hidden < int64(len(lastApplied)+len(want.Metadata.ID)) {
				t.Errorf("size: got %d bytes that REST hides, want those of its annotations", hidden)
			}

			// The id of an object is its uid unless it states another, and a change by kubectl is another version.
			want.Metadata.ID = string(stored.GetUID())
			if err := r.Encode(want, stored); err != nil {
				t.Fatal(err)
			}
			if a := stored.GetAnnotations(); a[v1.AnnotationID] != "" {
				t.Errorf("annotation of the id: got %q, want none", a[v1.AnnotationID])
			}
			stored.SetLabels(map[string]string{"team": "bolts"})
			if got := r.Decode(stored); got.Metadata.ResourceVersion == 7 || got.Metadata.Labels["team"] != "bolts" {
				t.Errorf("after a change by kubectl: got version %d and labels %v", got.Metadata.ResourceVersion, got.Metadata.Labels)
			}
		})
	}
	target := Resources[registry.DeploymentTarget]
	for _, spec := range []string{`{"kubernetes":1}`, `{"unknown":{}}`} {
		err := target.Encode(registry.Object{Kind: registry.DeploymentTarget, Spec: json.RawMessage(spec)}, target.New())
		if registry.ReasonOf(err) != registry.ReasonInvalidSpec {
			t.Errorf("spec %s: got %v", spec, err)
		}
	}
}
