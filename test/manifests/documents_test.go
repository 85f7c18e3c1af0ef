package manifests

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/strvals"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/test/framework/page"
)

// TestDocumentedHelmCommands: each documented `helm install` creates the namespace, names an
// image, and its values are valid.
func TestDocumentedHelmCommands(t *testing.T) {
	command := regexp.MustCompile(`helm install drey manifests/chart([^\n` + "`" + `]*)`)
	for _, file := range []string{"../../README.md", "../../docs/how-to/install.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := command.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s: got no helm install", file)
		}
		for _, c := range found {
			values := map[string]any{}
			words := strings.Fields(c[1])
			for i, word := range words {
				if word == "--set" {
					if err := strvals.ParseInto(words[i+1], values); err != nil {
						t.Errorf("%s: %s: %v", file, c[0], err)
					}
				}
			}
			if !strings.Contains(c[1], "--create-namespace") || values["image"] == nil {
				t.Errorf("%s: got %s, want --create-namespace and an image", file, c[0])
			}
			set, err := yaml.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := render("drey-system", string(set)); err != nil {
				t.Errorf("%s: %s: %v", file, c[0], err)
			}
		}
	}
}

// TestDocumentedValues: the chart has the documented values, each has an effect, the monitoring
// objects decode strictly, and the configuration is valid.
func TestDocumentedValues(t *testing.T) {
	blocks, err := page.CheckedBy("../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range blocks {
		checkEffective(t, path, text)
		rendered, err := render("drey-system", text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all := objects(t, withoutMonitoring(t, rendered.Manifest))
		data, _, err := unstructured.NestedString(all["drey-system/ConfigMap/drey"], "data", "config.yaml")
		if err != nil {
			t.Fatal(err)
		}
		c, err := configv1alpha1.Decode([]byte(data))
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("%s: the ConfigMap: %v", path, err)
		}
	}
}
