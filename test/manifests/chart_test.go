package manifests

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
)

// matrix returns the value files of the chart: by name, their text.
func matrix(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(tree + "/chart/ci/*-values.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("got %d value files, %v", len(files), err)
	}
	all := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), "-values.yaml")] = string(text)
	}
	return all
}

// TestChartMatrix applies the chart with each value file to a real API server with strict
// validation and warnings as errors. The pods pass the Pod Security level restricted, except
// with the network of the node.
func TestChartMatrix(t *testing.T) {
	c := cluster.Start(t)
	for _, namespace := range []string{"jobs-a", "jobs-b"} {
		c.MustKubectl(t, "", "create", "namespace", namespace)
	}
	for _, definition := range []string{"httproutes", "backendtlspolicies"} {
		c.MustKubectl(t, "", "apply", "--server-side", "-f", gatewayDefinition(t, definition))
	}
	cases := matrix(t)
	cases["default"] = ""
	for name, values := range cases {
		namespace, level := "drey-"+name, "restricted"
		if name == "host-network" {
			level = "privileged"
		}
		t.Run(name, func(t *testing.T) {
			c.MustKubectl(t, "", "create", "namespace", namespace)
			c.MustKubectl(t, "", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce="+level, "pod-security.kubernetes.io/warn="+level)
			rendered, err := render(namespace, values)
			if err != nil {
				t.Fatal(err)
			}
			text := rendered.Manifest
			for _, h := range rendered.Hooks {
				text += "\n---\n" + h.Manifest
			}
			c.MustKubectl(t, withoutMonitoring(t, text), "apply", "--server-side", "--force-conflicts", "--validate=strict", "--warnings-as-errors", "-f", "-")
			if name == "existing" {
				c.MustKubectl(t, "", "create", "serviceaccount", "-n", namespace, "existing")
			}
			eventually.OK(t, func() error {
				pods := c.MustKubectl(t, "", "get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=drey", "-o", "name")
				if pods == "" {
					return fmt.Errorf("got no pod; events:\n%s", c.MustKubectl(t, "", "get", "events", "-n", namespace))
				}
				return nil
			})
		})
	}
}

// gatewayDefinition returns the file with a CustomResourceDefinition of the Gateway API.
func gatewayDefinition(t *testing.T, resource string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(module.Dir, "config", "crd", "standard", "gateway.networking.k8s.io_"+resource+".yaml")
}

// withoutMonitoring returns a manifest without the objects of the Prometheus operator, which
// it decodes strictly.
func withoutMonitoring(t *testing.T, manifest string) string {
	t.Helper()
	var kept []string
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		var object any
		switch {
		case strings.Contains(document, "kind: ServiceMonitor\n"):
			object = &monitoringv1.ServiceMonitor{}
		case strings.Contains(document, "kind: PrometheusRule\n"):
			object = &monitoringv1.PrometheusRule{}
		default:
			kept = append(kept, document)
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Errorf("%v\n%s", err, document)
		}
	}
	return strings.Join(kept, "\n---\n")
}

// TestChartValuesEffective: a value file sets each value of values.yaml, and the value
// changes what is rendered.
func TestChartValuesEffective(t *testing.T) {
	set := map[string]bool{}
	for name, text := range matrix(t) {
		for _, value := range checkEffective(t, name, text) {
			set[value] = true
		}
	}
	for _, path := range leaves(load(t).Values, load(t).Values, nil) {
		if name := strings.Join(path, "."); !set[name] && name != "enabled" {
			t.Errorf("no value file sets %s", name)
		}
	}
}

// checkEffective fails the test unless each value of a file changes what is rendered. It returns
// the values, with a dot between keys.
func checkEffective(t *testing.T, file, text string) (set []string) {
	t.Helper()
	with, err := render("drey-system", text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	for _, path := range leaves(values, load(t).Values, nil) {
		set = append(set, strings.Join(path, "."))
		var reduced map[string]any
		if err := yaml.Unmarshal([]byte(text), &reduced); err != nil {
			t.Fatal(err)
		}
		parent := reduced
		for _, key := range path[:len(path)-1] {
			parent = parent[key].(map[string]any)
		}
		delete(parent, path[len(path)-1])
		reducedText, err := yaml.Marshal(reduced)
		if err != nil {
			t.Fatal(err)
		}
		without, err := render("drey-system", string(reducedText))
		if err == nil && without.Manifest == with.Manifest && reflect.DeepEqual(without.Hooks, with.Hooks) {
			t.Errorf("%s: %s has no effect", file, strings.Join(path, "."))
		}
	}
	return set
}

// leaves returns the paths of values, as far as the defaults have them: an object without
// keys of its own in the defaults is one value.
func leaves(values, defaults map[string]any, prefix []string) (all [][]string) {
	whole := []string{"podSecurityContext", "securityContext", "resources", "startupProbe", "livenessProbe", "readinessProbe", "nodeSelector", "labels"}
	for key, v := range values {
		path := append(slices.Clone(prefix), key)
		group, _ := v.(map[string]any)
		standard, _ := defaults[key].(map[string]any)
		if len(group) > 0 && len(standard) > 0 && !slices.Contains(whole, key) {
			all = append(all, leaves(group, standard, path)...)
			continue
		}
		all = append(all, path)
	}
	return all
}

// TestChartLint: helm lint --strict has no message with any value file.
func TestChartLint(t *testing.T) {
	cases := matrix(t)
	cases["default"] = ""
	for name, text := range cases {
		values, err := chartutil.ReadValues([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		lint := action.NewLint()
		lint.Strict, lint.KubeVersion = true, &chartutil.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
		result := lint.Run([]string{tree + "/chart"}, values)
		for _, message := range result.Messages {
			t.Errorf("%s: %s", name, message)
		}
		for _, err := range result.Errors {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChartMetadata: the icon is icon.svg, and the versions of images and changes agree.
func TestChartMetadata(t *testing.T) {
	icon, err := os.ReadFile(tree + "/chart/icon.svg")
	if err != nil {
		t.Fatal(err)
	}
	metadata := load(t).Metadata
	if want := "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(icon); metadata.Icon != want {
		t.Errorf("Chart.yaml: the icon is not icon.svg; got %.60s, want %s", metadata.Icon, want)
	}
	if metadata.Home == "" || len(metadata.Maintainers) == 0 || len(metadata.Keywords) < 5 {
		t.Errorf("got %+v, want a home, maintainers and keywords", metadata)
	}
	var definitions []struct{ Kind, Version, Name, DisplayName, Description string }
	if err := yaml.UnmarshalStrict([]byte(metadata.Annotations["artifacthub.io/crds"]), &definitions); err != nil || len(definitions) != 3 {
		t.Errorf("artifacthub.io/crds: got %v, %v, want the three kinds", definitions, err)
	}
	var images []struct{ Name, Image string }
	if err := yaml.UnmarshalStrict([]byte(metadata.Annotations["artifacthub.io/images"]), &images); err != nil || len(images) != 1 || !strings.HasSuffix(images[0].Image, ":"+metadata.AppVersion) {
		t.Errorf("artifacthub.io/images: got %v, %v, want the image of %s", images, err, metadata.AppVersion)
	}
}

// TestChartUmbrella renders the chart as a dependency with a condition, and with the values
// that umbrella charts share.
func TestChartUmbrella(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		parent := &chart.Chart{Metadata: &chart.Metadata{
			APIVersion: chart.APIVersionV2, Name: "platform", Version: "1.0.0", Type: "application",
			Dependencies: []*chart.Dependency{{Name: "drey", Version: load(t).Metadata.Version, Condition: "drey.enabled"}},
		}}
		parent.AddDependency(load(t))
		values, err := chartutil.ReadValues(fmt.Appendf(nil, "{drey: {enabled: %t, mode: warn}, global: {imagePullSecrets: [{name: shared}], region: eu}}", enabled))
		if err != nil {
			t.Fatal(err)
		}
		rendered, err := renderChart(parent, "drey-system", values)
		if err != nil {
			t.Fatal(err)
		}
		deployment, found := objects(t, rendered.Manifest)["drey-system/Deployment/drey"]
		if text, _ := json.Marshal(deployment); found != enabled || enabled && !strings.Contains(string(text), `"imagePullSecrets":[{"name":"shared"}]`) {
			t.Errorf("drey.enabled=%t: got the Deployment %t, %s", enabled, found, text)
		}
	}
}

// TestChartServiceAccountName: roles, policies and the Deployment name the ServiceAccount of
// the values.
func TestChartServiceAccountName(t *testing.T) {
	rendered, err := render("drey-system", "serviceAccount: {name: other}")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(rendered.Manifest, "drey-system:drey") || strings.Count(rendered.Manifest, "system:serviceaccount:drey-system:other") < 3 {
		t.Error("a policy does not name the ServiceAccount of the values")
	}
	for key, object := range objects(t, rendered.Manifest) {
		if subjects, _ := object["subjects"].([]any); len(subjects) > 0 && subjects[0].(map[string]any)["name"] != "other" {
			t.Errorf("%s: got the subjects %v", key, subjects)
		}
	}
}

// TestChartRemovedDefaults: null removes the parts of the security contexts, which admission
// of a platform may refuse.
func TestChartRemovedDefaults(t *testing.T) {
	rendered, err := render("drey-system", "{store: {type: embedded}, replicas: 1, podSecurityContext: {seccompProfile: null, fsGroup: 1000660000}, securityContext: {capabilities: null}, nodeSelector: {kubernetes.io/os: null}}")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(objects(t, rendered.Manifest)["drey-system/Deployment/drey"])
	if err != nil {
		t.Fatal(err)
	}
	for _, unwanted := range []string{"seccompProfile", "capabilities", "nodeSelector", "65532"} {
		if strings.Contains(string(text), unwanted) {
			t.Errorf("got %s in %s", unwanted, text)
		}
	}
}
