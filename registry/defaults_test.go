package registry_test

import (
	"encoding/json"
	"fmt"
	"strings"
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

// TestDefaultTarget: a Deployment without a target or session cluster gets the target of the
// DeploymentDefaults, and keeps its own fields as they are.
func TestDefaultTarget(t *testing.T) {
	r := newRegistry(t, memstore.New(), "team-a", "team-b")
	flink := create(t, r, target("team-a", "flink", "flink"))
	create(t, r, target("team-a", "other", "other"))
	create(t, r, object(registry.SessionCluster, "team-a", "session", `{}`))
	setDefaults := func(spec string) {
		t.Helper()
		if _, _, err := r.Put(t.Context(), object(registry.DeploymentDefaults, "team-a", registry.DefaultsName, spec), registry.Precondition{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	byID := fmt.Sprintf(`"deploymentTargetId":%q`, flink.Metadata.ID)
	for i, c := range []struct{ defaults, namespace, spec, want string }{
		{`{"deploymentTargetName":"flink"}`, "team-a", `{}`, `{"deploymentTargetName":"flink"}`},
		{`{"deploymentTargetName":"flink"}`, "team-a", `{"n":1.50}`, `{"n":1.50,"deploymentTargetName":"flink"}`},
		{`{` + byID + `}`, "team-a", `{"a":"b"}`, `{"a":"b",` + byID + `}`},
		{`{"deploymentTargetName":"flink"}`, "team-a", `{"deploymentTargetName":"other"}`, `{"deploymentTargetName":"other"}`},
		{`{"deploymentTargetName":"flink"}`, "team-a", `{"sessionClusterName":"session"}`, `{"sessionClusterName":"session"}`},
		{`{"deploymentTargetName":"flink"}`, "team-b", `{}`, `{}`},
		{`{"sessionClusterName":"session"}`, "team-a", `{}`, `{}`},
	} {
		setDefaults(c.defaults)
		if o := create(t, r, object(registry.Deployment, c.namespace, fmt.Sprint("d", i), c.spec)); string(o.Spec) != c.want {
			t.Errorf("defaults %s, spec %s: got %s, want %s", c.defaults, c.spec, o.Spec, c.want)
		}
	}
	if _, _, err := r.Put(t.Context(), object(registry.DeploymentDefaults, "team-a", "another", `{}`), registry.Precondition{}, nil); registry.ReasonOf(err) != registry.ReasonInvalidName {
		t.Errorf("defaults of another name: got %v", err)
	}
}

// TestInvalidSpec: a refusal of a spec names the field.
func TestInvalidSpec(t *testing.T) {
	r := newRegistry(t, memstore.New())
	for _, c := range []struct {
		kind       registry.Kind
		spec, want string
	}{
		{registry.DeploymentTarget, ``, "spec is missing"},
		{registry.DeploymentTarget, `null`, "spec is missing"},
		{registry.DeploymentTarget, `{}`, "spec.kubernetes is missing"},
		{registry.DeploymentTarget, `[]`, "spec is not an object"},
		{registry.DeploymentTarget, `{"kubernetes":{"namespace":1}}`, "spec.kubernetes.namespace is not a string"},
		{registry.DeploymentTarget, `{"kubernetes":{"namespace":"No_Label"}}`, `"No_Label" is not a valid name of a Kubernetes namespace`},
		{registry.DeploymentTarget, `{"kubernetes":{"nameSpace":"a"}}`, "spec.kubernetes.nameSpace is not a field of a DeploymentTarget"},
		{registry.DeploymentTarget, `{"kubernetes":{},"deploymentPatchSet":{}}`, "spec.deploymentPatchSet is not supported"},
		{registry.DeploymentTarget, `{"kubernetes":{}`, "spec is not valid JSON"},
		{registry.Deployment, ``, "spec is missing"},
		{registry.Deployment, `[]`, "spec is not an object"},
		{registry.Deployment, `{"a":}`, "spec is not valid JSON"},
		{registry.Deployment, `{"deploymentTargetName":[]}`, "spec.deploymentTargetName is not a string"},
	} {
		_, err := r.Create(t.Context(), object(c.kind, registry.DefaultNamespace, "a", c.spec), nil)
		if registry.ReasonOf(err) != registry.ReasonInvalidSpec || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with spec %s: got %v, want %q", c.kind, c.spec, err, c.want)
		}
	}
	for spec, want := range map[string]string{`{"kubernetes":{"namespace":"a"}}`: "a", `{"kubernetes":{}}`: "drey-system", `{}`: "", `[]`: ""} {
		if got := registry.TargetNamespace(object(registry.DeploymentTarget, "default", "t", spec), "drey-system"); got != want {
			t.Errorf("target namespace of %s: got %q, want %q", spec, got, want)
		}
	}
}
