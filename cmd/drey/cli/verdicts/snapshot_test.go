package verdicts

import (
	"encoding/json"
	"testing"

	"drey.dev/drey/registry"
)

// TestSnapshotKeepsIDs: a Deployment may refer to its target by the id that the target
// has in the registry that was read.
func TestSnapshotKeepsIDs(t *testing.T) {
	object := func(kind registry.Kind, name, id, spec string) registry.Object {
		return registry.Object{Kind: kind, Metadata: registry.Metadata{Name: name, Namespace: "team-a", ID: id}, Spec: json.RawMessage(spec)}
	}
	const target, deployment = "7c9e6679-7425-40de-944b-e07fc1f90ae7", "5f2f6a0e-6b1c-4a3c-9d0e-0a1b2c3d4e5f"
	known, err := snapshotOf(t.Context(), "drey-system", []registry.Object{
		object(registry.Deployment, "nuts", deployment, `{"deploymentTargetId": "`+target+`"}`),
		object(registry.DeploymentTarget, "staging", target, `{"kubernetes": {"namespace": "flink"}}`),
	}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found, ok := known.Linked(registry.Deployment, "team-a", "flink", "", "nuts"); !ok || found.ID != deployment {
		t.Errorf("got %+v, %t", found, ok)
	}
}

// TestSnapshotLiveRegistry: a Deployment whose target was deleted between two lists is
// left out; in a file, the reference is a mistake.
func TestSnapshotLiveRegistry(t *testing.T) {
	objects := []registry.Object{
		{Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Name: "staging", Namespace: "team-a"}, Spec: json.RawMessage(`{"kubernetes": {"namespace": "flink"}}`)},
		{Kind: registry.Deployment, Metadata: registry.Metadata{Name: "nuts", Namespace: "team-a"}, Spec: json.RawMessage(`{"deploymentTargetName": "gone"}`)},
	}
	known, err := snapshotOf(t.Context(), "drey-system", objects, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if targets := known.Targets("flink"); len(targets) != 1 {
		t.Errorf("the targets are %v", targets)
	}
	if _, err := snapshotOf(t.Context(), "drey-system", objects, false, nil); registry.ReasonOf(err) != registry.ReasonUnknownReference {
		t.Errorf("of a file: %v", err)
	}
}
