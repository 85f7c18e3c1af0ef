package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
)

// TestDoctorFaults breaks an installation in several ways. drey doctor reports each fault
// with a command, and is satisfied once that command has run.
func TestDoctorFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if out, err := w.doctor(t); err == nil || !strings.Contains(out, "drey is not installed in namespace drey-system") {
		t.Fatalf("before the installation: got %v %s, want that drey is missing", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go w.keepPodsReady(ctx)
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "60s")
	// Without a kubelet the pods have no addresses, so the Service needs an endpoint.
	_, err := w.client.DiscoveryV1().EndpointSlices("drey-system").Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "drey-test", Labels: map[string]string{"kubernetes.io/service-name": "drey", "endpointslice.kubernetes.io/managed-by": "test"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.255.0.1"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := installed.Kubeconfig(t.Context(), w.Cluster, bundle.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	d, err := drey.Start(t.Context(), drey.Options{Program: w.program, Cluster: w.Cluster, DataDir: t.TempDir(), Args: []string{"--kubeconfig", kubeconfig, "--namespace", "drey-system", "--install-webhooks=false", "--store", "kubernetes", "--certs", "self-signed"}})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		}
	}()
	healthy := func() error {
		out, err := w.doctor(t)
		if err != nil || strings.Contains(out, "WARN") {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	}
	eventually.OK(t, soon, healthy)

	for _, fault := range []struct {
		name, want string
		kubectl    []string // kubectl arguments; nil: register a target
		target     string   // Kubernetes namespace of that target
		remedy     string   // pattern of the command that doctor prints
	}{
		{"policy binding deleted", "FAIL  objects", []string{"delete", "validatingadmissionpolicybinding", "drey-gate"}, "", `-> drey (install [^(]+)`},
		{"webhook changed", "webhooks[0].failurePolicy", []string{"patch", "mutatingwebhookconfiguration", "drey", "--type=json", "-p", `[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]`}, "", `-> drey (install [^(]+)`},
		{"RBAC rule removed", "clusterrole/drey differs from what this version installs", []string{"patch", "clusterrole", "drey", "--type=json", "-p", `[{"op":"remove","path":"/rules/0"}]`}, "", `-> drey (install [^(]+)`},
		{"invalid configuration", `unknown field "stor"`, []string{"patch", "configmap", "drey", "-n", "drey-system", "--type=merge", "-p", `{"data":{"config.yaml":"{apiVersion: config.drey.dev/v1alpha1, kind: DreyConfiguration, stor: embedded}"}}`}, "", `or drey (install [^(]+)`},
		{"invalid mode", "drey.dev/mode=loud", []string{"label", "namespace", "default", "drey.dev/mode=loud"}, "", `-> kubectl (label namespace default drey.dev/mode=warn --overwrite)`},
		{"target of a missing namespace", "points at namespace nowhere", nil, "nowhere", `-> kubectl (create namespace nowhere)`},
	} {
		if fault.kubectl == nil { // over REST: the API server cannot reach the Service
			if err := d.Register(t.Context(), "default", "t", fault.target); err != nil {
				t.Fatal(err)
			}
		} else if out, err := w.RunKubectl(t, "", fault.kubectl...); err != nil {
			t.Fatal(out)
		}
		out, _ := w.doctor(t) // warnings alone are no error
		found := regexp.MustCompile(fault.remedy).FindStringSubmatch(out)
		if !strings.Contains(out, fault.want) || found == nil {
			t.Errorf("%s: got %s\nwant %q and a match of %q", fault.name, out, fault.want, fault.remedy)
			continue
		}
		command := strings.Fields(found[1])
		if command[0] == "install" {
			w.mustRun(t, append(command, "--kubeconfig", w.Kubeconfig(), "--timeout", "60s")...)
		} else {
			w.MustKubectl(t, "", command...)
		}
		eventually.OK(t, soon, healthy)
	}

	// Manifests do not state what the leader writes, so applying them changes no path.
	paths := func() string {
		return w.MustKubectl(t, "", "get", "mutatingwebhookconfiguration/drey", "validatingwebhookconfiguration/drey", "-o", "jsonpath={..clientConfig.service.path}")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "manifests", "base", "admission.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	manifests := strings.Join(slices.DeleteFunc(strings.Split(string(text), "\n---\n"), func(o string) bool {
		return !strings.Contains(o, "\nkind: MutatingWebhookC") && !strings.Contains(o, "\nkind: ValidatingWebhookC")
	}), "\n---\n")
	before := paths()
	for _, args := range [][]string{{"apply"}, {"apply"}, {"apply", "--server-side", "--force-conflicts", "--field-manager=argocd"}, {"apply", "--server-side", "--force-conflicts", "--field-manager=flux"}} {
		w.MustKubectl(t, manifests, append(args, "-f", "-")...)
		if got := paths(); got != before {
			t.Errorf("kubectl %s: the paths of the webhooks changed", strings.Join(args, " "))
		}
	}
	w.MustKubectl(t, manifests, "replace", "-f", "-") // deletes caBundles and paths
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "60s")
	eventually.OK(t, soon, healthy)
	if strings.Count(paths(), "/") != strings.Count(before, "/") {
		t.Errorf("after kubectl replace: got %d segments in the paths, want %d", strings.Count(paths(), "/"), strings.Count(before, "/"))
	}

	// The options are those of the configuration file: the bindings of another mode are expected.
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "60s", "--mode", "audit")
	eventually.OK(t, soon, healthy)

	// Faults without a command that a test can run.
	w.apply(t, `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: mesh}
webhooks:
- name: inject.example.com
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
  clientConfig: {url: "https://127.0.0.1:1"}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods], scope: Namespaced}]
`)
	if out, err := w.doctor(t); err != nil || !strings.Contains(out, "inject.example.com of validatingwebhookconfiguration/mesh") {
		t.Errorf("a webhook that blocks drey's pods: got %v %s, want a warning", err, out)
	}
	w.MustKubectl(t, "", "delete", "validatingwebhookconfiguration", "mesh")
	stopped = true
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	w.MustKubectl(t, "", "delete", "secret", "drey-certs", "-n", "drey-system")
	w.MustKubectl(t, "", "patch", "validatingwebhookconfiguration", "drey", "--type=json", "-p", `[{"op":"replace","path":"/webhooks/0/clientConfig/service/path","value":"/validate/workloads"}]`)
	out, err := w.run(t, "doctor", "--kubeconfig", w.Kubeconfig(), "-o", "json")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("without a leader: got %v, want exit code 1", err)
	}
	var report struct {
		Findings []struct{ Check, Level, Message, Fix string }
	}
	if err := json.Unmarshal([]byte(out[:strings.LastIndex(out, "}")+1]), &report); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	levels := map[string]string{}
	for _, f := range report.Findings {
		levels[f.Check] = f.Level
	}
	if levels["leader"] != "FAIL" || levels["certificate"] != "WARN" || levels["path"] != "FAIL" || levels["objects"] != "OK" {
		t.Errorf("got %v, want leader FAIL, certificate WARN, path FAIL, objects OK", report)
	}
}

// doctor runs drey doctor.
func (w *world) doctor(t *testing.T) (string, error) {
	t.Helper()
	return w.run(t, "doctor", "--kubeconfig", w.Kubeconfig())
}
