// Package manifests compares the installation methods of drey: drey install, kustomize and
// Helm. It is a separate module because of Helm's dependencies.
package manifests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/config"
)

// tree is the directory of the manifests.
const tree = "../../manifests"

// TestInstallMethodsMatch compares the objects of helm template, kustomize build and drey
// install.
func TestInstallMethodsMatch(t *testing.T) {
	const contact = `#o'hara & "co" <x@example.com> \ {{ 1 }}`
	with := func(change func(*bundle.Options)) bundle.Options {
		o := bundle.Defaults()
		change(&o)
		return o
	}
	for variant, c := range map[string]struct {
		options bundle.Options
		overlay string
		values  string
	}{
		"self-signed certificates": {bundle.Defaults(), "self-signed", ""},
		"cert-manager":             {with(func(o *bundle.Options) { o.Certs = bundle.CertManager }), "cert-manager", "certs: {mode: cert-manager}"},
		"embedded store":           {with(func(o *bundle.Options) { o.Store, o.Replicas = bundle.Embedded, 1 }), "embedded", "{store: {type: embedded}, replicas: 1}"},
		"mode warn":                {with(func(o *bundle.Options) { o.Mode = config.Warn }), "", "mode: warn"},
		"mode audit":               {with(func(o *bundle.Options) { o.Mode = config.Audit }), "", "mode: audit"},
		"other namespace and target namespaces": {with(func(o *bundle.Options) {
			o.Namespace, o.TargetNamespaces = "apps", []string{"jobs-a", "jobs-b"}
		}), "", "rbac: {additionalNamespaces: [jobs-a, jobs-b]}"},
		"ServiceAccount": {with(func(o *bundle.Options) { o.ServiceAccount = "server" }), "", "serviceAccount: {name: server}"},
		"REST URL":       {with(func(o *bundle.Options) { o.RESTURL = "https://drey.example.com" }), "", "rest: {url: 'https://drey.example.com'}"},
		"scheduling": {with(func(o *bundle.Options) {
			o.NodeSelector = map[string]string{"pool": "infra"}
			o.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "infra", Effect: corev1.TaintEffectNoSchedule}}
		}), "", "{nodeSelector: {pool: infra}, tolerations: [{key: dedicated, operator: Equal, value: infra, effect: NoSchedule}]}"},
		"aggregation to view": {with(func(o *bundle.Options) { o.AggregateTo = []string{"view"} }), "", "rbac: {aggregateTo: [view]}"},
		"no aggregation":      {with(func(o *bundle.Options) { o.AggregateTo = nil }), "", "rbac: {aggregateTo: []}"},
		"contact":             {with(func(o *bundle.Options) { o.Contact = contact }), "", "contact: " + strconv.Quote(contact)},
		"image digest and replicas": {with(func(o *bundle.Options) { o.Image, o.Replicas = "example.com/drey@sha256:"+strings.Repeat("0", 64), 3 }), "",
			"{image: {repository: example.com/drey, digest: 'sha256:" + strings.Repeat("0", 64) + "'}, replicas: 3}"},
	} {
		t.Run(variant, func(t *testing.T) {
			stages, err := bundle.Stages(c.options)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]map[string]any{}
			for _, s := range stages {
				for _, o := range s.Objects {
					want[key(o.Unstructured)] = normal(t, o.Unstructured)
				}
			}
			rendered, err := render(c.options.Namespace, c.values)
			if err != nil {
				t.Fatal(err)
			}
			chart := objects(t, rendered.Manifest)
			delete(want, "Namespace/"+c.options.Namespace) // not in the chart: helm --create-namespace creates it
			same(t, "helm template", chart, want)
			if c.overlay == "" {
				return
			}
			built := objects(t, kustomize(t, c.overlay))
			for _, s := range stages {
				for _, o := range s.Objects {
					want[key(o.Unstructured)] = normal(t, o.Unstructured)
				}
			}
			same(t, "kustomize build", built, want)
		})
	}
}

// TestChartInvalidValues renders values that values.schema.json rejects.
func TestChartInvalidValues(t *testing.T) {
	for values, want := range map[string]string{
		"replicas: 0":                          "replicas",
		"replicas: two":                        "replicas",
		"{store: {type: embedded}}":            "replicas", // the default is two
		"mode: strict":                         "mode",
		"certs: {mode: none}":                  "certs",
		"image: {tagg: x}":                     "tagg",
		"image: {digest: abc}":                 "digest",
		"rest: {url: \"https://x' || true\"}":  "url",
		"rbac: {additionalNamespaces: [Jobs]}": "additionalNamespaces",
		"extraArgs: [serve]":                   "extraArgs",
		"metrics: {clusterRoleBinding: {serviceAccount: prometheus}}": "metrics.clusterRoleBinding.namespace",
		"networkPolicy: {apiServerPorts: []}":                         "apiServerPorts",
		"goMemLimit: 230Mi":                                           "goMemLimit",
		"config: {kind: Other}":                                       "config",
		"rest: {ingress: {enabled: true}}":                            "rest.ingress.host",
		"rest: {route: {enabled: true}}":                              "rest.route.parentRefs",
		"webhooks: {timeoutSeconds: 31}":                              "timeoutSeconds",
		"extraEnv: [{value: x}]":                                      "extraEnv",
		"ports: {rest: 0}":                                            "rest",
	} {
		if _, err := render("drey-system", values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", values, err, want)
		}
	}
}

// TestChartOptionalObjects renders options that are off by default, and turns off those
// that are on.
func TestChartOptionalObjects(t *testing.T) {
	rendered, err := render("drey-system", `
metrics:
  serviceMonitor: {enabled: true, labels: {release: prometheus}}
  prometheusRule: {enabled: true}
  dashboard: {enabled: true}
  clusterRoleBinding: {serviceAccount: prometheus, namespace: monitoring}
certs: {mode: cert-manager}
imagePullSecrets: [{name: pull}]
nodeSelector: {disk: ssd}
tolerations: [{key: infra, operator: Exists}]
podAnnotations: {example.com/a: b}
serviceAccount: {annotations: {example.com/c: d}}
platformNamespaces: [team-a]
extraArgs: [--log-level=debug]
`)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, rendered.Manifest)
	for key, parts := range map[string][]string{
		"drey-system/ServiceMonitor/drey":       {`"release":"prometheus"`, `"name":"drey-serving"`, `"serverName":"drey.drey-system.svc"`},
		"drey-system/PrometheusRule/drey":       {"drey_certificate_expiry_timestamp_seconds", "DreyDown"},
		"drey-system/PrometheusRule/drey-usage": {"drey:requested_cpu_cores:sum"},
		"ClusterRoleBinding/drey-metrics":       {`"namespace":"monitoring"`},
		"drey-system/ServiceAccount/drey":       {`"example.com/c":"d"`},
		"drey-system/Deployment/drey":           {`"args":["serve","--config=/etc/drey/config.yaml","--log-level=debug"]`, `"disk":"ssd"`, `"key":"infra"`, `"example.com/a":"b"`, `"name":"pull"`},
	} {
		text, err := json.Marshal(all[key])
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: got %s, want %s in it", key, text, part)
			}
		}
	}
	off, err := render("drey-system", "{networkPolicy: {enabled: false}, podDisruptionBudget: {enabled: false}, crds: {install: false}, rbac: {create: false}, topologySpread: {enabled: false}, priorityClassName: '', test: {enabled: false}}")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"NetworkPolicy", "PodDisruptionBudget", "CustomResourceDefinition", "kind: Role", "kind: ClusterRole", "topologySpreadConstraints", "priorityClassName"} {
		if strings.Contains(off.Manifest, kind) {
			t.Errorf("got %s, want it turned off", kind)
		}
	}
	if len(off.Hooks) != 0 {
		t.Errorf("got %d hooks, want none", len(off.Hooks))
	}
}

// TestChartConfig: the value config is merged last into the configuration file, zero values
// included, and the pod template's annotation changes with it.
func TestChartConfig(t *testing.T) {
	configuration := func(values string) (c configv1alpha1.DreyConfiguration, checksum string) {
		t.Helper()
		rendered, err := render("drey-system", values)
		if err != nil {
			t.Fatal(err)
		}
		all := objects(t, rendered.Manifest)
		text, _, err := unstructured.NestedString(all["drey-system/ConfigMap/drey"], "data", bundle.ConfigKey)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = configv1alpha1.Decode([]byte(text)); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		checksum, _, err = unstructured.NestedString(all["drey-system/Deployment/drey"], "spec", "template", "metadata", "annotations", "checksum/config")
		if err != nil {
			t.Fatal(err)
		}
		return c, checksum
	}
	got, after := configuration(`
platformNamespaces: [team-a]
config:
  registry: {platformNamespaceQuota: 0}
  rest: {accessLog: true, auth: [cluster, tokens]}
  tracing: {samplingRatio: 0}
  health: {shutdownDelay: 0s}
  logging: {level: debug}
store: {type: embedded}
replicas: 1
`)
	want, before := configuration("{store: {type: embedded}, replicas: 1}")
	want.Registry.PlatformNamespaces, want.Registry.PlatformNamespaceQuota = []string{"team-a"}, got.Registry.PlatformNamespaceQuota
	want.REST.AccessLog, want.REST.Auth, want.Tracing.SamplingRatio = true, []string{"cluster", "tokens"}, 0
	want.Health.ShutdownDelay.Duration, want.Logging.Level = 0, "debug"
	if !got.Registry.PlatformNamespaceQuota.IsZero() || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if before == "" || before == after {
		t.Errorf("checksum annotation: got %q before and %q after the change, want different ones", before, after)
	}
	if c, _ := configuration("config: {rest: {tls: {ofWebhooks: false, certFile: /a.crt, keyFile: /a.key}}}"); c.REST.TLS.OfWebhooks {
		t.Error("false in the value config does not override true")
	}
}

// TestApplyWithoutWarnings applies the output of Helm and kustomize to a real API server,
// twice, with warnings as errors. The Deployment's pods pass the Pod Security level
// restricted.
func TestApplyWithoutWarnings(t *testing.T) {
	for variant, manifest := range map[string]func() string{
		"kustomize, self-signed":  func() string { return kustomize(t, "self-signed") },
		"kustomize, cert-manager": func() string { return kustomize(t, "cert-manager") },
		"kustomize, embedded":     func() string { return kustomize(t, "embedded") },
		"helm": func() string {
			rendered, err := render("drey-system", "")
			if err != nil {
				t.Fatal(err)
			}
			all := rendered.Manifest
			for _, h := range rendered.Hooks {
				all += "\n---\n" + h.Manifest
			}
			return "apiVersion: v1\nkind: Namespace\nmetadata: {name: drey-system, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}\n---\n" + all
		},
	} {
		t.Run(variant, func(t *testing.T) {
			c := cluster.Start(t)
			text := manifest()
			apply := func(args ...string) {
				cmd := c.KubectlCommand(t.Context(), append([]string{"apply", "--warnings-as-errors", "-f", "-"}, args...)...)
				cmd.Stdin = strings.NewReader(text)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("kubectl apply %v: %v\n%s", args, err, out)
				}
			}
			apply("--server-side")
			apply("--server-side")
			// Pods exist, so they have passed Pod Security admission.
			eventually.OK(t, func() error {
				pods, err := c.KubectlCommand(t.Context(), "get", "pods", "-n", "drey-system", "-l", "app.kubernetes.io/name=drey", "-o", "name").Output()
				if err == nil && len(pods) == 0 {
					events, _ := c.KubectlCommand(t.Context(), "get", "events", "-n", "drey-system").CombinedOutput()
					err = fmt.Errorf("got no pod; events:\n%s", events)
				}
				return err
			})
		})
	}
}

// load loads the chart.
func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(tree + "/chart")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders the chart, as helm template does.
func render(namespace, values string) (*release.Release, error) {
	c, err := loader.Load(tree + "/chart")
	if err != nil {
		return nil, err
	}
	v, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		return nil, err
	}
	return renderChart(c, namespace, v)
}

func renderChart(c *chart.Chart, namespace string, values chartutil.Values) (*release.Release, error) {
	install := action.NewInstall(&action.Configuration{Log: func(string, ...any) {}})
	install.DryRun, install.ClientOnly, install.ReleaseName, install.Namespace = true, true, "drey", namespace
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
	return install.Run(c, values)
}

// kustomize builds an overlay with kubectl kustomize.
func kustomize(t *testing.T, overlay string) string {
	t.Helper()
	binaries, err := cluster.Binaries(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(binaries, "kubectl"), "kustomize", filepath.Join(tree, "overlays", overlay)).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v\n%s", overlay, err, out)
	}
	return string(out)
}

// objects parses a manifest into objects by key.
func objects(t *testing.T, manifest string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(manifest, -1) {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if len(o.Object) == 0 {
			continue
		}
		if all[key(&o)] != nil {
			t.Errorf("got %s twice", key(&o))
		}
		all[key(&o)] = normal(t, &o)
	}
	return all
}

// key returns NAMESPACE/KIND/NAME.
func key(o *unstructured.Unstructured) string {
	return strings.TrimPrefix(fmt.Sprintf("%s/%s/%s", o.GetNamespace(), o.GetKind(), o.GetName()), "/")
}

// normal returns an object with JSON types, without Helm's own annotations.
func normal(t *testing.T, o *unstructured.Unstructured) map[string]any {
	t.Helper()
	o = o.DeepCopy()
	annotations := o.GetAnnotations()
	delete(annotations, "helm.sh/resource-policy")
	if len(annotations) == 0 {
		annotations = nil
	}
	o.SetAnnotations(annotations)
	text, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// same compares the objects of an installation method with those of drey install.
func same(t *testing.T, method string, got, want map[string]map[string]any) {
	t.Helper()
	for k := range got {
		if want[k] == nil {
			t.Errorf("%s: got %s, which drey install does not have", method, k)
		}
	}
	for k, w := range want {
		g := got[k]
		if g == nil {
			t.Errorf("%s: got no %s", method, k)
		} else if !reflect.DeepEqual(g, w) {
			a, _ := yaml.Marshal(g)
			b, _ := yaml.Marshal(w)
			t.Errorf("%s: %s: got\n%s\nwant\n%s", method, k, a, b)
		}
	}
}
