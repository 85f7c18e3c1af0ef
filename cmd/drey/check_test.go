package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func TestCheckExitsWithSixOnADenial(t *testing.T) {
	dir := files(t, map[string]string{"targets.yaml": someTargets, "deploy/nuts.yaml": flinkDeployment, "deploy/deeper/web.yml": notFlink, "deploy/readme.txt": "kind: [not YAML"})
	check := func(stdin string, args ...string) (string, int) {
		return runDrey(t, stdin, append([]string{"check", "--targets", filepath.Join(dir, "targets.yaml")}, args...))
	}
	deploy := filepath.Join(dir, "deploy")
	out, code := check("", "-f", deploy, "-n", "flink")
	want := "FILE                 NAMESPACE   WORKLOAD               VERDICT              PLATFORM NAMESPACE\n" +
		"deeper/web.yml       web         Deployment/web         allowed: NotFlink    -\n" +
		"nuts.yaml            flink       FlinkDeployment/nuts   allowed: HasTarget   team-a\n" +
		"3 objects, 2 of them workloads\n"
	if got := strings.ReplaceAll(out, deploy+"/", ""); code != 0 || squeeze(got) != squeeze(want) {
		t.Errorf("in a namespace with a target: %d\n%s\nwant\n%s", code, got, want)
	}

	out, code = check(flinkDeployment, "-f", "-", "-n", "sandbox")
	if code != exitDenied || !strings.Contains(out, "DENIED: NoDeploymentTarget") || !strings.Contains(out, `namespace "sandbox" has no DeploymentTarget`) ||
		!strings.Contains(out, "curl -X POST http://127.0.0.1:8080/api/v1/") || !strings.Contains(out, "drey: 1 of 1 workloads would be refused") {
		t.Errorf("in one without: %d\n%s", code, out)
	}

	out, code = check("", "-f", deploy, "-n", "sandbox", "-o", "junit")
	var suite junitSuite
	text, _, _ := strings.Cut(out, "drey: ")
	if err := xml.Unmarshal([]byte(text), &suite); err != nil {
		t.Fatal(err)
	}
	if code != exitDenied || suite.Tests != 2 || suite.Failures != 1 || suite.Cases[0].Failure != nil || suite.Cases[1].Failure.Type != "NoDeploymentTarget" {
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

func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestCheckSaysWhatItCannotRead(t *testing.T) {
	dir := files(t, map[string]string{
		"targets.yaml": someTargets, "bad.yaml": "a: [", "second.yaml": "kind: Pod\napiVersion: v1\n---\n[]\n", "wrong.yaml": "kind: Pod\napiVersion: v1\nmetadata: {labels: []}\n",
		"none.yaml": "kind: ConfigMap\n", "refused.yaml": "kind: DeploymentTarget\nmetadata: {name: 'not a name!'}\nspec: {kubernetes: {}}\n",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"check"}, exitUsage, "say what to check with -f"},
		{[]string{"check", "-f", at("absent.yaml"), "--targets", at("targets.yaml")}, exitFailure, "no such file"},
		{[]string{"check", "-f", at("bad.yaml"), "--targets", at("targets.yaml")}, exitFailure, "bad.yaml, document 1"},
		{[]string{"check", "-f", at("second.yaml"), "--targets", at("targets.yaml")}, exitFailure, "second.yaml, document 2"},
		{[]string{"check", "-f", at("wrong.yaml"), "--targets", at("targets.yaml")}, exitFailure, "wrong.yaml: this is not a readable Pod"},
		{[]string{"check", "-f", at("bad.yaml"), "--targets", at("none.yaml")}, exitUsage, "there is no DeploymentTarget in it"},
		{[]string{"check", "-f", at("bad.yaml"), "--targets", at("refused.yaml")}, exitFailure, "not a name!"},
		{[]string{"check", "-f", at("bad.yaml"), "--server", "http://127.0.0.1:1"}, exitUnavailable, "--targets FILE"},
		{[]string{"check", "-f", at("none.yaml"), "--targets", at("targets.yaml"), "-o", "xml"}, exitUsage, "table, json or junit"},
		{[]string{"explain"}, exitUsage, "say what to explain"},
		{[]string{"explain", "pod/a", "-f", at("none.yaml")}, exitUsage, "say what to explain"},
		{[]string{"explain", "-f", at("none.yaml"), "--targets", at("targets.yaml")}, exitFailure, "nothing in"},
		{[]string{"explain", "secret/a", "--targets", at("targets.yaml"), "--kubeconfig", at("absent")}, exitUsage, "--kubeconfig"},
	} {
		if out, code := runDrey(t, "", c.args); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("drey %s: %d %s\nwant %d with %q", strings.Join(c.args, " "), code, out, c.code, c.says)
		}
	}
}

func TestExplainReadsTheRegistryOfARunningDrey(t *testing.T) {
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
	f.Fuzz(func(t *testing.T, text []byte) {
		known, err := snapshotOf(t.Context(), "drey-system", nil)
		if err != nil {
			t.Fatal(err)
		}
		manifests, err := parseManifests("fuzz", text)
		if err != nil {
			return
		}
		for _, m := range manifests {
			q := question{namespace: "flink"}
			if _, _, err := q.check(m, known); err != nil && !strings.HasPrefix(err.Error(), "fuzz: ") {
				t.Errorf("an error that does not say where: %v", err)
			}
			_, _ = readRegistryObject(m.text)
		}
	})
}
