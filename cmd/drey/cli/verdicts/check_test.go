package verdicts

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/webhook/verdict"
)

// files writes files into a directory of their own, and returns its path.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	someTargets = `
apiVersion: v1
kind: DeploymentTargetList
items:
  - kind: DeploymentTarget
    metadata: {name: staging, namespace: team-a}
    spec: {kubernetes: {namespace: flink}}
---
kind: Deployment
metadata: {name: nuts, namespace: team-a, id: 5f2f6a0e-6b1c-4a3c-9d0e-0a1b2c3d4e5f}
spec: {deploymentTargetName: staging}
`
	flinkDeployment = `
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata: {name: nuts}
spec: {job: {jarURI: local:///a.jar}}
`
	notFlink = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: web}
spec: {template: {spec: {containers: [{name: nginx, image: nginx}]}}}
---
# nothing but a comment
---
apiVersion: v1
kind: Secret
metadata: {name: s}
`
)

func TestCheckExitCode(t *testing.T) {
	dir := files(t, map[string]string{"targets.yaml": someTargets, "deploy/nuts.yaml": flinkDeployment, "deploy/deeper/web.yml": notFlink, "deploy/readme.txt": "kind: [not YAML"})
	check := func(stdin string, args ...string) (string, int) {
		return runDrey(t, stdin, append([]string{"check", "--targets", filepath.Join(dir, "targets.yaml")}, args...))
	}
	deploy := filepath.Join(dir, "deploy")
	out, code := check("", "-f", deploy, "-n", "flink")
	want := "FILE                 NAMESPACE   WORKLOAD               VERDICT              PLATFORM NAMESPACE\n" +
		"deeper/web.yml       web         Deployment/web         allowed: NotFlink    -\n" +
		"nuts.yaml            flink       FlinkDeployment/nuts   allowed: HasTarget   team-a\n" +
		"3 objects read: 2 workloads, 1 of Flink\n"
	if got := strings.ReplaceAll(out, deploy+"/", ""); code != 0 || squeeze(got) != squeeze(want) {
		t.Errorf("in a namespace with a target: %d\n%s\nwant\n%s", code, got, want)
	}

	out, code = check(flinkDeployment, "-f", "-", "-n", "sandbox")
	if code != command.ExitDenied || !strings.Contains(out, "DENIED: NoDeploymentTarget") || !strings.Contains(out, `namespace "sandbox" has no DeploymentTarget`) ||
		!strings.Contains(out, "drey targets create sandbox --kubernetes-namespace sandbox --server http://127.0.0.1:8080 ; or") || !strings.Contains(out, "drey: 1 of 1 workload would be denied") {
		t.Errorf("in one without: %d\n%s", code, out)
	}

	out, code = check("", "-R", deploy, filepath.Join(deploy, "nuts.yaml"), "-n", "sandbox")
	if code != command.ExitDenied || strings.Count(out, "has no DeploymentTarget") != 1 || !strings.Contains(out, "  also "+filepath.Join(deploy, "nuts.yaml")+", FlinkDeployment/nuts\n") {
		t.Errorf("two workloads with one remedy, by paths without -f: %d\n%s", code, out)
	}

	out, code = check("", "-f", deploy, "-n", "sandbox", "-o", "junit")
	var suite junitSuite
	text, _, _ := strings.Cut(out, "drey: ")
	if err := xml.Unmarshal([]byte(text), &suite); err != nil {
		t.Fatal(err)
	}
	if code != command.ExitDenied || suite.Tests != 2 || suite.Failures != 1 || suite.Cases[0].Failure != nil || suite.Cases[1].Failure.Type != "NoDeploymentTarget" {
		t.Errorf("as JUnit: %d\n%s", code, out)
	}

	out, code = check("", "-f", deploy, "-n", "flink", "-o", "json")
	var all []checked
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	if code != 0 || len(all) != 2 || all[1].Reason != verdict.HasTarget || all[1].Labels[4].Value != "ID" || all[1].Labels[4].From != "registered as Deployment team-a/nuts" {
		t.Errorf("as JSON: %d\n%s", code, out)
	}
}

// TestCheckOwnTargets: a target among the manifests counts, also behind the workload and beside other
// sources of targets.
func TestCheckOwnTargets(t *testing.T) {
	const set = flinkDeployment + `
---
apiVersion: drey.dev/v1
kind: DeploymentTarget
metadata: {name: sandbox, namespace: team-b}
spec: {kubernetes: {namespace: sandbox}}
`
	dir := files(t, map[string]string{"targets.yaml": someTargets, "none.yaml": notFlink})
	for rule, args := range map[string][]string{
		"alone":                    {"-f", "-"},
		"beside a file of targets": {"-f", "-", "--targets", filepath.Join(dir, "targets.yaml")},
		"beside other manifests":   {"-f", filepath.Join(dir, "none.yaml"), "-f", "-"},
	} {
		t.Run(rule, func(t *testing.T) {
			out, code := runDrey(t, set, append([]string{"check", "-n", "sandbox"}, args...))
			if code != 0 || !strings.Contains(squeeze(out), "FlinkDeployment/nuts allowed: HasTarget team-b") {
				t.Errorf("got %d\n%s, want the target of the set", code, out)
			}
		})
	}
}

func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

// TestCheckRefusesInput: what cannot be read, and what holds nothing to check, is an
// error that names the file, the document and the field, and how to go on.
func TestCheckRefusesInput(t *testing.T) {
	dir := files(t, map[string]string{
		"targets.yaml": someTargets, "good.yaml": flinkDeployment, "none.yaml": "apiVersion: v1\nkind: ConfigMap\n",
		"bad.yaml": "a: [", "second.yaml": "kind: Pod\napiVersion: v1\n---\n[]\n", "text.yaml": "just text\n",
		"line.yaml": "# one\napiVersion: v1\nkind: Pod\n--- # two\napiVersion: v1\nkind: Pod\nmetadata: a: b\n", "line.json": "{\"kind\": \"Pod\",\n \"apiVersion\": \"v1\"}\n{\"kind\": \"Pod\"}\n{\"kind\":\n}\n",
		"short.json": `{"kind": "Pod", "apiVersion": "v1"} {"kind": `, "separator.yaml": "a: b\n--- c\n",
		"labels.yaml": "kind: Pod\napiVersion: v1\nmetadata: {labels: []}\n", "number.yaml": "kind: Pod\napiVersion: v1\nmetadata: {name: a, labels: {version: 1.20}}\n",
		"boolean.yaml":   "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: a}\nspec: {template: {metadata: {annotations: {prometheus.io/scrape: true}}}}\n",
		"argument.yaml":  "kind: List\napiVersion: v1\nitems:\n- kind: Fleet\n  apiVersion: example.com/v1\n  spec: {template: {spec: {containers: [{name: a, args: [b, 8081]}]}}}\n",
		"namespace.yaml": "kind: Pod\napiVersion: v1\nmetadata: {namespace: 5}\n", "kindless.yaml": "apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}}]\n",
		"values.yaml": "replicas: 1\n", "versionless.yaml": "kind: Deployment\nmetadata: {name: a}\n", "items.yaml": "apiVersion: v1\nkind: List\nitems: {}\n",
		"empty.yaml": " \n", "comments.yaml": "# nothing\n---\n# here\n", "emptylist.yaml": "apiVersion: v1\nkind: List\nitems: []\n",
		"readme/readme.md": "# no YAML", "comments/a.yaml": "# nothing", "comments/b.json": "",
		"kustomize/kustomization.yaml": "resources: [a.yaml]", "kustomize/a.yaml": flinkDeployment, "all/my app/Chart.yaml": "name: a", "all/my app/templates/a.yaml": "name: {{ .Release.Name }}",
		"template.yaml": "metadata: {name: {{ .Release.Name }}-a}\n", "refused.yaml": "kind: DeploymentTarget\nmetadata: {name: 'not a name!'}\nspec: {kubernetes: {}}\n",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"check"}, command.ExitUsage, "no manifest"},
		{[]string{"check", "-f", at("good.yaml"), "-o", "xml"}, command.ExitUsage, "table, json or junit"},
		{[]string{"explain"}, command.ExitUsage, "nothing to explain"},
		{[]string{"explain", "pod/a", "-f", at("none.yaml")}, command.ExitUsage, "nothing to explain"},
		{[]string{"explain", "-f", at("good.yaml"), "-o", "xml"}, command.ExitUsage, "text or json"},
		{[]string{"explain", "secret/a", "--targets", at("targets.yaml"), "--kubeconfig", at("absent")}, command.ExitUsage, "--kubeconfig"},
		{[]string{"check", "-f", at("good.yaml"), "--server", "http://127.0.0.1:1"}, command.ExitUnavailable, "--targets FILE"},

		{[]string{"check", "-f", at("absent.yaml")}, command.ExitFailure, "no such file"},
		{[]string{"check", "-f", at("bad.yaml")}, command.ExitFailure, "bad.yaml, document 1, line 1: did not find"},
		{[]string{"check", "-f", at("second.yaml")}, command.ExitFailure, "second.yaml, document 2: want an object, got a list"},
		{[]string{"check", "-f", at("text.yaml")}, command.ExitFailure, "text.yaml, document 1: want an object, got a string"},
		{[]string{"check", "-f", at("line.yaml")}, command.ExitFailure, "line.yaml, document 2, line 7: mapping values"},
		{[]string{"check", "-f", at("line.json")}, command.ExitFailure, "line.json, document 3, line 5: invalid character"},
		{[]string{"check", "-f", at("short.json")}, command.ExitFailure, "short.json, document 2: the JSON ends before"},
		{[]string{"check", "-f", at("separator.yaml")}, command.ExitFailure, "separator.yaml, document 1: invalid Yaml document separator: c"},
		{[]string{"check", "-f", at("labels.yaml"), "--targets", at("targets.yaml")}, command.ExitFailure, "labels.yaml, document 1, Pod: metadata.labels is a list: the API server takes an object"},
		{[]string{"check", "-f", at("number.yaml"), "--targets", at("targets.yaml")}, command.ExitFailure, "number.yaml, document 1, Pod/a: metadata.labels[version] is a number: the API server takes a string; put it in quotes"},
		{[]string{"explain", "-f", at("boolean.yaml"), "--targets", at("targets.yaml")}, command.ExitFailure, "boolean.yaml, document 1, Deployment/a: spec.template.metadata.annotations[prometheus.io/scrape] is a boolean"},
		{[]string{"check", "-f", at("argument.yaml"), "--targets", at("targets.yaml")}, command.ExitFailure, "argument.yaml, document 1, item 1, Fleet: spec.template.spec.containers[0].args[1] is a number"},
		{[]string{"check", "-f", at("number.yaml"), "-f", at("argument.yaml"), "--targets", at("targets.yaml")}, command.ExitFailure, "put it in quotes\n" + at("argument.yaml")},
		{[]string{"check", "-f", at("namespace.yaml")}, command.ExitFailure, "namespace.yaml, document 1, Pod: metadata.namespace is a number"},
		{[]string{"check", "-f", at("kindless.yaml")}, command.ExitFailure, "kindless.yaml, document 1, item 1/a: kind is missing"},
		{[]string{"check", "-f", at("values.yaml")}, command.ExitFailure, "values.yaml, document 1: kind is missing"},
		{[]string{"check", "-f", at("versionless.yaml")}, command.ExitFailure, "versionless.yaml, document 1, Deployment/a: apiVersion is missing"},
		{[]string{"check", "-f", at("items.yaml")}, command.ExitFailure, "items.yaml, document 1, List: items is not a list"},
		{[]string{"check", "-f", at("template.yaml")}, command.ExitFailure, "helm template CHART | drey check -f -"},

		{[]string{"check", "-f", at("empty.yaml")}, command.ExitUsage, "empty.yaml: it is empty"},
		{[]string{"check", "-f", at("comments.yaml")}, command.ExitUsage, "comments.yaml: it has only comments"},
		{[]string{"check", "-f", at("emptylist.yaml")}, command.ExitUsage, "emptylist.yaml: it has only comments, separators or empty lists"},
		{[]string{"check", "-f", at("good.yaml"), "-f", at("empty.yaml")}, command.ExitUsage, "empty.yaml: it is empty"},
		{[]string{"check", "-f", at("readme")}, command.ExitUsage, "no file below it ends in .yaml, .yml or .json"},
		{[]string{"explain", "-f", at("comments")}, command.ExitUsage, "its files that end in .yaml, .yml or .json have no object"},
		{[]string{"check", "-f", "-"}, command.ExitUsage, "no manifest in standard input: it is empty"},
		{[]string{"check", "-f", "-", "-f", "-"}, command.ExitUsage, "standard input"},
		{[]string{"check", "-f", at("kustomize")}, command.ExitUsage, at("kustomize") + " is a kustomization, not a manifest; render it: kubectl kustomize " + at("kustomize") + " | drey check -f -"},
		{[]string{"explain", "-f", at("kustomize/kustomization.yaml")}, command.ExitUsage, "kubectl kustomize " + at("kustomize") + " | drey explain -f -"},
		{[]string{"check", "-f", at("all")}, command.ExitUsage, "helm template '" + at("all/my app") + "' | drey check -f -"},

		{[]string{"check", "-f", at("good.yaml"), "--targets", at("none.yaml")}, command.ExitUsage, "no DeploymentTarget in it"},
		{[]string{"check", "-f", at("good.yaml"), "--targets", at("empty.yaml")}, command.ExitUsage, "empty.yaml: it is empty"},
		{[]string{"check", "-f", at("good.yaml"), "--targets", at("refused.yaml")}, command.ExitFailure, "not a name!"},
		{[]string{"check", "-f", at("refused.yaml"), "--targets", at("targets.yaml")}, command.ExitFailure, "refused.yaml, document 1, DeploymentTarget/not a name!: "},
		{[]string{"explain", "-f", at("none.yaml"), "--targets", at("targets.yaml")}, 0, "ConfigMap"},
	} {
		if out, code := runDrey(t, "", c.args); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("drey %s: %d %s\nwant %d with %q", strings.Join(c.args, " "), code, out, c.code, c.says)
		}
	}
}

func TestExplainFromServer(t *testing.T) {
	d := start(t, t.TempDir())
	t.Setenv("DREY_SERVER", d.REST)
	if out, code := runDrey(t, "", []string{"targets", "create", "staging", "--kubernetes-namespace", "flink"}); code != 0 {
		t.Fatal(out)
	}
	if out, code := runDrey(t, "metadata: {name: nuts}\nspec: {deploymentTargetName: staging}\n", []string{"deployments", "create", "-f", "-"}); code != 0 {
		t.Fatal(out)
	}
	out, code := runDrey(t, flinkDeployment, []string{"explain", "-f", "-", "-n", "flink"})
	for _, want := range []string{"FlinkDeployment nuts in namespace flink", "allowed: HasTarget", "custom application (strong)", "the only platform namespace with a target", "registered as Deployment default/nuts"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d, no %q in\n%s", code, want, out)
		}
	}
}

func FuzzManifests(f *testing.F) {
	f.Add([]byte(someTargets))
	f.Add([]byte(flinkDeployment))
	f.Add([]byte(notFlink))
	f.Add([]byte(`{"kind": "Pod", "apiVersion": "v1"} {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"labels": {"a": 1}}}]}`))
	f.Add([]byte("\xff\xfea\x00:\x00 \x001\x00"))
	f.Add([]byte("a: b\n--- # c\n\xef\xbb\xbf{{ d }}\n...\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		known, err := snapshotOf(t.Context(), "drey-system", nil, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		manifests, err := manifest.Parse("fuzz", text)
		if err != nil && !strings.HasPrefix(err.Error(), "fuzz, document ") {
			t.Errorf("error without a position: %v", err)
		}
		for _, m := range manifests {
			src := source{namespace: "flink"}
			if _, err := src.checkAll([]manifest.Manifest{m}, known); err != nil && !strings.HasPrefix(err.Error(), "fuzz, document ") {
				t.Errorf("error without a position: %v", err)
			}
			if document.IsRegistryObject(m) {
				_, _ = document.FromManifest(m, "flink")
			}
		}
	})
}
