package explain_test

import (
	"errors"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/explain"
	"drey.dev/drey/console"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/webhook/verdict"
)

const manifest = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nmetadata: {name: clicks}\nspec: {job: {jarURI: local:///a.jar}}\n"

// TestExplainVisible: targets of platform namespaces that the user does not see are not
// considered, and the result says so.
func TestExplainVisible(t *testing.T) {
	index := registry.NewIndex("drey-system")
	rules, err := registry.New(t.Context(), memstore.New(), registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"a", "b"}, Index: index})
	if err != nil {
		t.Fatal(err)
	}
	for _, platformNamespace := range []string{"a", "b"} {
		if _, err := rules.Create(t.Context(), registry.Object{Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: platformNamespace, Name: "t"}, Spec: []byte(`{"kubernetes":{"namespace":"web"}}`)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	x := explain.Explainer{State: verdict.Caches{Registry: index}, OwnNamespace: "drey-system"}
	for name, test := range map[string]struct {
		visible, manifest string
		reason            verdict.Reason
		partial           bool
	}{
		"all":                           {"a b", manifest, verdict.AmbiguousTarget, false},
		"one":                           {"b", manifest, verdict.HasTarget, true},
		"none":                          {"", manifest, verdict.NoDeploymentTarget, true},
		"a target of the manifest":      {"", manifest + "---\nkind: DeploymentTarget\nmetadata: {name: mine}\nspec: {kubernetes: {namespace: web}}\n", verdict.HasTarget, true},
		"that target in drey's own one": {"", strings.Replace(manifest, "clicks", "clicks, namespace: drey-system", 1) + "---\napiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: mine, namespace: a}\nspec: {kubernetes: {}}\n", verdict.HasTarget, false},
	} {
		t.Run(name, func(t *testing.T) {
			all, partial, err := x.Explain(t.Context(), []byte(test.manifest), "web", func(n string) (bool, error) { return strings.Contains(test.visible, n), nil })
			if err != nil || len(all) != 1 || all[0].Reason != test.reason || partial != test.partial {
				t.Errorf("got %+v, partial %t, %v", all, partial, err)
			}
		})
	}
	failed := errors.New("the API server is away")
	if _, _, err := x.Explain(t.Context(), []byte(manifest), "web", func(string) (bool, error) { return false, failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"a: [", "kind: Pod", "kind: DeploymentTarget\nspec: {}", "apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: 1}}"} {
		if _, _, err := x.Explain(t.Context(), []byte(text), "web", func(string) (bool, error) { return true, nil }); !errors.As(err, new(*console.ManifestError)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
