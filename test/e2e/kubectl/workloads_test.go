package kubectl

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/inventory"
	"drey.dev/drey/test/framework/eventually"
)

// TestWorkloads: a workload is listed once its pods exist, and the log has the delay: by REST for users with list
// on the targets of its platform namespace, and by the plugin with the rights of a cluster
// admin and of a user of one namespace.
func TestWorkloads(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	mine, others := w.Namespace(t), w.Namespace(t)
	owner, stranger := w.admin(t, mine), w.admin(t, others)
	w.MustKubectl(t, targetYAML("prod", "", mine), "apply", "-n", mine, "-f", "-")
	manifest := strings.Replace(deniedDeployment, "replicas: 0", "replicas: 2", 1)
	manifest = strings.Replace(manifest, `image: "flink:2.2"`, `image: "flink:2.2", args: [kubernetes-jobmanager.sh, kubernetes-application], resources: {requests: {cpu: 250m, memory: 1Gi}}`, 1)
	w.MustKubectl(t, manifest, "create", "-n", mine, "-f", "-")
	var pods time.Time
	eventually.OK(t, func() error {
		if out := w.MustKubectl(t, "", "get", "pods", "-n", mine, "-o", "name"); strings.Count(out, "pod/") != 2 {
			return fmt.Errorf("pods: %s", out)
		}
		pods = time.Now()
		return nil
	})
	list := func(u user, query string) []inventory.Workload {
		t.Helper()
		status, text := u.send(t, http.MethodGet, "/drey/v1/workloads"+query, "")
		var all struct{ Items []inventory.Workload }
		if err := json.Unmarshal(text, &all); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		return all.Items
	}
	eventually.OK(t, func() error {
		all := list(owner, "")
		if len(all) != 1 || all[0].Pods != 2 || all[0].PlatformNamespace != mine || all[0].Target != "prod" || all[0].Owner.Name != "denied" || all[0].Owner.UID == "" ||
			all[0].Requests != (inventory.Resources{MilliCPU: 500, Memory: 2 << 30}) || all[0].Flavor != "native" || all[0].Kind == "" || all[0].ID != all[0].Owner.UID || !all[0].Healthy() {
			return fmt.Errorf("workloads: %+v", all)
		}
		return nil
	})
	t.Logf("listed %s after its pods", time.Since(pods).Round(time.Millisecond))
	if all := list(stranger, "?namespace="+mine); len(all) != 0 {
		t.Errorf("an admin of another namespace sees %+v", all)
	}

	eventually.OK(t, func() error {
		if counts := w.MustKubectl(t, "", "get", "deploymenttargets.drey.dev/prod", "-n", mine, "-o", "jsonpath={.status.workloads} {.status.pods}"); counts != "1 2" {
			return fmt.Errorf("status.workloads and status.pods: %q", counts)
		}
		return nil
	})
	w.MustKubectl(t, strings.ReplaceAll(onlyThere, "HOME", mine), "apply", "-f", "-")
	for name, kubeconfig := range map[string]string{"cluster admin": w.Kubeconfig(), "developer": w.kubeconfigOf(t, "developer", mine, others)} {
		run := w.plugin(t, kubeconfig)
		for args, want := range map[string]string{
			"workloads -n " + mine:                                     mine + "   Deployment/denied   ",
			"workloads -o json -n " + mine + " --target prod":          `"pods": 2`,
			"workloads -o name -n " + mine:                             "deployment/denied",
			"workloads -n " + mine + " --target other":                 "No workloads found.",
			"usage -n " + mine:                                         "500m",
			"usage --by deployment -n " + mine + " -o yaml":            "milliCPU: 500",
			"workloads -n " + mine + " --unhealthy":                    "No workloads found.",
			"workloads -n " + mine + " -o wide --sort-by pods":         "native",
			"workloads -n " + mine + " --platform-namespace " + others: "No workloads found.",
			"workloads -n " + mine + " --platform-namespace " + mine:   "0/2",
		} {
			if out, code := run("", strings.Fields(args)...); code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: %s: exit code %d, want %q\n%s", name, args, code, want, out)
			}
		}
		if name == "developer" {
			if out, code := run("", "workloads", "-A"); code != 4 || !strings.Contains(out, "-n NAMESPACE") {
				t.Errorf("workloads -A of a developer: %d %s", code, out)
			}
		}
	}

	w.MustKubectl(t, "", "delete", "deployment", "denied", "-n", mine)
	eventually.OK(t, func() error {
		if all := list(owner, ""); len(all) != 0 {
			return fmt.Errorf("after the deletion: %+v", all)
		}
		return nil
	})
}
