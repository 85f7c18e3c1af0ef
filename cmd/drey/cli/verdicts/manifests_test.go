package verdicts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
)

// verdictsOf runs drey check, and returns what it says of each workload, and all that
// it prints.
func verdictsOf(t *testing.T, args ...string) (verdicts []string, out string, code int) {
	t.Helper()
	out, code = runDrey(t, "", append([]string{"check", "-o", "json"}, args...))
	_, list, ok := strings.Cut("\n"+out, "\n[") // after what standard error says
	if !ok {
		return nil, out, code
	}
	var all []checked
	if err := json.NewDecoder(strings.NewReader("[" + list)).Decode(&all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range all {
		verdicts = append(verdicts, c.Kind+"/"+c.Name+" "+string(c.Reason))
	}
	return verdicts, out, code
}

// TestCheckInputFormats: every object of every form of input is decided on.
func TestCheckInputFormats(t *testing.T) {
	targets := filepath.Join(files(t, map[string]string{"targets.yaml": someTargets}), "targets.yaml")
	for file, workloads := range map[string][]string{
		"makers.yaml": {
			"ReplicaSet/parcels-rs", "DaemonSet/parcels-ds", "ReplicationController/parcels-rc", "Rollout/parcels-ro", "CronJob/parcels-cj",
			"Nightly/parcels-nightly", "Service/parcels-kn", "PodTemplate/parcels-pt", "Fleet/parcels-fleet",
		},
		"list.yaml":           {"Deployment/in-a-list", "FlinkDeployment/deeper"},
		"typed-list.yaml":     {"Deployment/without-a-kind"},
		"bom-crlf.yaml":       {"Deployment/first", "Deployment/second"},
		"utf16.yaml":          {"Deployment/from-powershell"},
		"anchors.yaml":        {"Deployment/anchored"},
		"helm-output.yaml":    {"Deployment/one", "Deployment/two", "Deployment/three"},
		"stream.json":         {"Deployment/web", "Deployment/second", "Deployment/third"},
		"json-then-yaml.json": {"Deployment/json", "Deployment/yaml"},
		"live.json":           {"Deployment/live"},
		"custom.yaml":         {"FlinkDeployment/nightly-*", "FlinkCluster/parcels", "FlinkApplication/parcels"},
	} {
		t.Run(file, func(t *testing.T) {
			for namespace, rest := range map[string]struct {
				reason string
				code   int
			}{"flink": {"HasTarget", 0}, "sandbox": {"NoDeploymentTarget", command.ExitDenied}} {
				var want []string
				for _, w := range workloads {
					reason := rest.reason
					if w == "Deployment/web" {
						reason = "NotFlink"
					}
					want = append(want, w+" "+reason)
				}
				got, out, code := verdictsOf(t, "-f", filepath.Join("testdata", "check", file), "-n", namespace, "--targets", targets)
				if !slices.Equal(got, want) || code != rest.code {
					t.Errorf("in %s: %d\n%s\ngot  %v\nwant %v", namespace, code, out, got, want)
				}
			}
		})
	}
}

// TestCheckNoWorkloads passes, and says that it had nothing to decide.
func TestCheckNoWorkloads(t *testing.T) {
	targets := filepath.Join(files(t, map[string]string{"targets.yaml": someTargets}), "targets.yaml")
	for _, format := range []string{"table", "json", "junit"} {
		out, code := runDrey(t, "", []string{"check", "-f", "testdata/check/no-workload.yaml", "--targets", targets, "-o", format})
		if code != 0 || !strings.Contains(out, "3 objects read, no workloads\n") {
			t.Errorf("-o %s: %d %s", format, code, out)
		}
	}
	if out, code := runDrey(t, "apiVersion: v1\nkind: Secret\n", []string{"explain", "-f", "-", "--targets", targets}); code != command.ExitFailure || !strings.Contains(out, "no workload in standard input: 1 object read, and no pod") {
		t.Errorf("explain: %d %s", code, out)
	}
	if out, code := runDrey(t, flinkDeployment, []string{"check", "-f", "-", "--targets", "-"}); code != command.ExitUsage || !strings.Contains(out, "standard input is given twice") {
		t.Errorf("standard input twice: %d %s", code, out)
	}
}

// TestCheckDirectorySymlink, as a volume of a ConfigMap has them.
func TestCheckDirectorySymlink(t *testing.T) {
	dir := files(t, map[string]string{"targets.yaml": someTargets, "data/a.yaml": flinkDeployment})
	if err := os.Symlink("data", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, out, code := verdictsOf(t, "-f", filepath.Join(dir, "link"), "-n", "flink", "--targets", filepath.Join(dir, "targets.yaml"))
	if want := []string{"FlinkDeployment/nuts HasTarget"}; code != 0 || !slices.Equal(got, want) {
		t.Errorf("%d %v\n%s", code, got, out)
	}
}

// TestCheckTargetsInManifests, whatever their order and their form.
func TestCheckTargetsInManifests(t *testing.T) {
	const (
		custom   = "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: flink%s}\nspec: {kubernetes: {namespace: flink}}\n"
		asREST   = "apiVersion: v1\nkind: DeploymentTarget\nmetadata: {name: flink, namespace: team-a}\nspec: {kubernetes: {namespace: flink}}\n"
		inTeamA  = ", namespace: team-a"
		inTeamB  = ", namespace: team-b"
		pointing = "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: staging, namespace: team-a}\nspec: {kubernetes: {namespace: elsewhere}}\n"
	)
	target := func(namespace string) string { return strings.Replace(custom, "%s", namespace, 1) }
	dir := files(t, map[string]string{
		"targets.yaml": someTargets, "nuts.yaml": flinkDeployment, "custom.yaml": target(inTeamA), "b.yaml": target(inTeamB), "rest.yaml": asREST, "nowhere.yaml": target(""),
		"repeated.yaml": "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: staging, namespace: team-a}\nspec: {kubernetes: {namespace: flink}}\n", "changed.yaml": pointing,
		"list.yaml": "apiVersion: drey.dev/v1\nkind: DeploymentTargetList\nitems: [{metadata: {name: flink, namespace: team-a}, spec: {kubernetes: {namespace: flink}}}]\n",
		"moved.yaml": "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: other, namespace: team-a}\nspec: {kubernetes: {namespace: flink}}\n---\n" +
			"apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: nuts, namespace: team-a}\nspec: {deploymentTargetName: other}\n",
		"dangling.yaml": "apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: nuts, namespace: team-a}\nspec: {deploymentTargetName: absent}\n",
	})
	t.Setenv("KUBECONFIG", filepath.Join(dir, "no-kubeconfig"))
	t.Setenv("HOME", dir)
	const alone = "Registry: the manifests alone"
	for name, c := range map[string]struct {
		files, args []string
		want, says  string
		code        int
	}{
		"before it":                           {files: []string{"custom.yaml", "nuts.yaml"}, want: "HasTarget", says: alone},
		"after it":                            {files: []string{"nuts.yaml", "custom.yaml"}, want: "HasTarget", says: alone},
		"as REST writes it":                   {files: []string{"nuts.yaml", "rest.yaml"}, want: "HasTarget", says: alone},
		"in a list":                           {files: []string{"nuts.yaml", "list.yaml"}, want: "HasTarget", says: `"platformNamespace": "team-a"`},
		"given twice":                         {files: []string{"nuts.yaml", "custom.yaml", "custom.yaml"}, want: "HasTarget", says: alone},
		"without a namespace: that of -n":     {files: []string{"nuts.yaml", "nowhere.yaml"}, want: "HasTarget", says: `"platformNamespace": "flink"`},
		"beside those of --targets":           {files: []string{"nuts.yaml", "b.yaml"}, args: []string{"--targets", "custom.yaml"}, want: "AmbiguousTarget", code: command.ExitDenied},
		"in --targets as well":                {files: []string{"nuts.yaml", "repeated.yaml"}, args: []string{"--targets", "targets.yaml"}, want: "HasTarget", says: "registered as Deployment team-a/nuts"},
		"in --targets, with another spec":     {files: []string{"nuts.yaml", "changed.yaml"}, args: []string{"--targets", "targets.yaml"}, says: "changed.yaml, document 1, DeploymentTarget/staging: the spec of", code: command.ExitFailure},
		"a Deployment that another one moves": {files: []string{"nuts.yaml", "moved.yaml"}, args: []string{"--targets", "targets.yaml"}, want: "HasTarget", says: `"value": "ID"`},
		"a Deployment that refers to nothing": {files: []string{"nuts.yaml", "custom.yaml", "dangling.yaml"}, says: "dangling.yaml, document 1, Deployment/nuts: ", code: command.ExitFailure},
		"none, and no registry either":        {files: []string{"nuts.yaml"}, args: []string{"--kubeconfig", "no-kubeconfig"}, says: "--targets FILE", code: command.ExitUnavailable},
		"a registry that is named and is not": {files: []string{"nuts.yaml", "custom.yaml"}, args: []string{"--server", "http://127.0.0.1:1"}, says: "--targets FILE", code: command.ExitUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"-n", "flink"}
			for _, file := range c.files {
				args = append(args, "-f", filepath.Join(dir, file))
			}
			for _, arg := range c.args {
				if strings.HasSuffix(arg, ".yaml") || arg == "no-kubeconfig" {
					arg = filepath.Join(dir, arg)
				}
				args = append(args, arg)
			}
			got, out, code := verdictsOf(t, args...)
			var want []string
			if c.want != "" {
				want = []string{"FlinkDeployment/nuts " + c.want}
			}
			if code != c.code || !slices.Equal(got, want) || !strings.Contains(out, c.says) {
				t.Errorf("%d %v\n%s\nwant %d %v with %q", code, got, out, c.code, want, c.says)
			}
		})
	}

	t.Run("a reference by id", func(t *testing.T) {
		const id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
		byID := files(t, map[string]string{
			"targets.yaml": "kind: DeploymentTarget\nmetadata: {name: staging, namespace: team-a, id: " + id + "}\nspec: {kubernetes: {namespace: flink}}\n---\n" +
				"kind: Deployment\nmetadata: {name: other, namespace: team-a}\nspec: {deploymentTargetId: " + id + "}\n",
			"nuts.yaml": flinkDeployment + "---\napiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: nuts, namespace: team-a}\nspec: {deploymentTargetId: " + id + "}\n",
		})
		got, out, code := verdictsOf(t, "-n", "flink", "-f", filepath.Join(byID, "nuts.yaml"), "--targets", filepath.Join(byID, "targets.yaml"))
		if code != 0 || !slices.Equal(got, []string{"FlinkDeployment/nuts HasTarget"}) || !strings.Contains(out, "registered as Deployment team-a/nuts") {
			t.Errorf("%d %v\n%s", code, got, out)
		}
	})

	t.Run("a whole installation in one file", func(t *testing.T) {
		got, out, code := verdictsOf(t, "-f", "testdata/check/with-targets.yaml")
		want := []string{"Deployment/before-its-target HasTarget"}
		if code != 0 || !slices.Equal(got, want) || !strings.Contains(out, "registered as SessionCluster logistics/before-its-target") {
			t.Errorf("%d %v\n%s", code, got, out)
		}
		out, code = runDrey(t, flinkDeployment, []string{"check", "-f", "-", "-n", "sandbox", "-f", "testdata/check/with-targets.yaml"})
		if code != command.ExitDenied || !strings.Contains(out, "| kubectl apply -f -") {
			t.Errorf("beside a workload that has no target: %d\n%s", code, out)
		}
	})
}

// Folders beside this repository with more inputs, which a clone does not have.
const (
	sharedCases       = "../../../../../shared/cases/check"
	sharedRecognition = "../../../../../shared/cases/recognize"
)

// TestCheckRefusedInputs: an input that kubectl rejects, and one that another tool renders, is an
// error with the remedy.
func TestCheckRefusedInputs(t *testing.T) {
	targets := filepath.Join(files(t, map[string]string{"targets.yaml": someTargets}), "targets.yaml")
	for input, words := range map[string]string{"untyped-labels.yaml": "put it in quotes", "kustomize": "kubectl kustomize", "helm": "helm template"} {
		_, out, code := verdictsOf(t, "-f", filepath.Join("testdata", "refused", input), "-n", "flink", "--targets", targets)
		if code == 0 || !strings.Contains(out, words) {
			t.Errorf("%s: got code %d and %s, want an error with %q", input, code, out, words)
		}
	}
	t.Run("inputs beside the repository", func(t *testing.T) {
		entries, err := os.ReadDir(sharedCases)
		if err != nil {
			t.Skipf("none: %v", err)
		}
		refused := map[string]string{"c5": "put it in quotes", "c9": "kubectl kustomize", "c10": "helm template"}
		workloads := map[string]int{"c1": 2, "c3": 2, "c4": 1, "c6": 3, "c7": 4, "c8": 4, "c11": 2, "c12": 1, "c13": 2}
		for _, entry := range entries {
			number, _, _ := strings.Cut(entry.Name(), "-")
			got, out, code := verdictsOf(t, "-f", filepath.Join(sharedCases, entry.Name()), "-n", "orders", "--targets", filepath.Join(sharedCases, "targets.yaml"))
			switch words, isRefused := refused[number]; {
			case isRefused && (code == 0 || !strings.Contains(out, words)):
				t.Errorf("%s: got code %d and %s, want an error with %q", entry.Name(), code, out, words)
			case !isRefused && (code != 0 || len(got) != workloads[number]):
				t.Errorf("%s: got code %d and %d workloads, want %d\n%s", entry.Name(), code, len(got), workloads[number], out)
			}
		}
	})
}

// TestCheckRecognition denies, without a target, each workload that starts Flink, and of the
// lookalikes the TaskManager beside Beam's workers alone.
func TestCheckRecognition(t *testing.T) {
	targets := filepath.Join(files(t, map[string]string{"targets.yaml": someTargets}), "targets.yaml")
	own, err := filepath.Glob(filepath.Join("testdata", "recognize", "*.yaml"))
	if err != nil || len(own) < 7 {
		t.Fatalf("found %v, %v, want 7 files at least", own, err)
	}
	check := func(t *testing.T, file, targets, lookalikes, flink string) {
		t.Helper()
		got, out, _ := verdictsOf(t, "-f", file, "-n", "sandbox", "--targets", targets)
		if len(got) == 0 {
			t.Errorf("%s has no workload: %s", file, out)
		}
		for _, v := range got {
			want := filepath.Base(file) != lookalikes || strings.HasPrefix(v, flink+" ")
			if denied := strings.HasSuffix(v, " NoDeploymentTarget"); denied != want {
				t.Errorf("%s: got %s, want denied: %t\n%s", file, v, want, out)
			}
		}
	}
	for _, file := range own {
		check(t, file, targets, "lookalikes.yaml", "Deployment/taskmanager-with-beam")
	}
	t.Run("files beside the repository", func(t *testing.T) {
		shared, err := filepath.Glob(filepath.Join(sharedRecognition, "[rf]*.yaml"))
		if err != nil || len(shared) == 0 {
			t.Skipf("none in %s", sharedRecognition)
		}
		for _, file := range shared {
			check(t, file, filepath.Join(sharedRecognition, "targets.yaml"), "f1-lookalikes.yaml", "Deployment/beam-tm")
		}
	})
}
