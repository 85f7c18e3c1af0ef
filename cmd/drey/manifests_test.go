package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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

// TestCheckReadsWhatKubectlReads: every object of every form of input is decided on.
func TestCheckReadsWhatKubectlReads(t *testing.T) {
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
			}{"flink": {"HasTarget", 0}, "sandbox": {"NoDeploymentTarget", exitDenied}} {
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

// TestCheckOfWhatRunsNothing passes, and says that it had nothing to decide.
func TestCheckOfWhatRunsNothing(t *testing.T) {
	targets := filepath.Join(files(t, map[string]string{"targets.yaml": someTargets}), "targets.yaml")
	for _, format := range []string{"table", "json", "junit"} {
		out, code := runDrey(t, "", []string{"check", "-f", "testdata/check/no-workload.yaml", "--targets", targets, "-o", format})
		if code != 0 || !strings.Contains(out, "3 objects read, none of them a workload: nothing runs Flink\n") {
			t.Errorf("-o %s: %d %s", format, code, out)
		}
	}
	if out, code := runDrey(t, "apiVersion: v1\nkind: Secret\n", []string{"explain", "-f", "-", "--targets", targets}); code != exitFailure || !strings.Contains(out, "none of the 1 objects in - runs Flink") {
		t.Errorf("explain: %d %s", code, out)
	}
	if out, code := runDrey(t, flinkDeployment, []string{"check", "-f", "-", "--targets", "-"}); code != exitUsage || !strings.Contains(out, "standard input is given twice") {
		t.Errorf("standard input twice: %d %s", code, out)
	}
}

// TestCheckFollowsALinkToADirectory, as a volume of a ConfigMap has them.
func TestCheckFollowsALinkToADirectory(t *testing.T) {
	dir := files(t, map[string]string{"targets.yaml": someTargets, "data/a.yaml": flinkDeployment})
	if err := os.Symlink("data", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, out, code := verdictsOf(t, "-f", filepath.Join(dir, "link"), "-n", "flink", "--targets", filepath.Join(dir, "targets.yaml"))
	if want := []string{"FlinkDeployment/nuts HasTarget"}; code != 0 || !slices.Equal(got, want) {
		t.Errorf("%d %v\n%s", code, got, out)
	}
}

// sharedCases is a folder beside this repository with inputs as people have them.
const sharedCases = "../../../shared/cases/check"

// TestCheckOfTheSharedCases reads every one of them to its end: what is for kubectl,
// is for drey; what kubectl does not take, is refused with words that help.
func TestCheckOfTheSharedCases(t *testing.T) {
	entries, err := os.ReadDir(sharedCases)
	if err != nil {
		t.Logf("not read: %v", err)
		return
	}
	refused := map[string]string{"c5": "put it in quotes", "c9": "kubectl kustomize", "c10": "helm template"}
	workloads := map[string]int{"c1": 2, "c3": 2, "c4": 1, "c6": 3, "c7": 4, "c8": 4, "c11": 2, "c12": 1, "c13": 2}
	for _, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "-")
		got, out, code := verdictsOf(t, "-f", filepath.Join(sharedCases, entry.Name()), "-n", "orders", "--targets", filepath.Join(sharedCases, "targets.yaml"))
		switch says, bad := refused[number]; {
		case bad && (code == 0 || !strings.Contains(out, says)):
			t.Errorf("%s: %d %s\nwant %q", entry.Name(), code, out, says)
		case !bad && (code != 0 || len(got) != workloads[number]):
			t.Errorf("%s: %d, %d workloads, want %d\n%s", entry.Name(), code, len(got), workloads[number], out)
		}
	}
}
