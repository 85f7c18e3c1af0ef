// Package install tests the installation: drey install, the ServiceAccount's permissions
// under use, drey doctor and drey uninstall.
package install

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
	"drey.dev/drey/test/framework/kubelet"
	"drey.dev/drey/webhook/flink"
)

// world is a control plane on which drey is installed.
type world struct {
	*cluster.Cluster
	client  kubernetes.Interface
	program string
	audit   *installed.AuditLog
	drey    *drey.Drey
	rest    string
	token   string   // of a cluster-admin
	missed  []string // resources of the objects named missed, which drey has to label
}

// TestManifestsLeastPrivilege installs drey, runs it as its ServiceAccount through all of
// its features, and uninstalls it. RBAC forbids no call, every rule is used, and no object
// is left.
func TestManifestsLeastPrivilege(t *testing.T) {
	// WatchList, the client's default, needs no list permission; older API servers lack it.
	t.Setenv("KUBE_FEATURE_WatchListClient", "false")
	w := newWorld(t)
	before := w.inventory(t)
	w.install(t)
	w.installFlinkCRDs(t)
	if err := crds.InstallReports(t.Context(), w.Cluster, "openreports.io"); err != nil {
		t.Fatal(err)
	}
	w.createBeforeDrey(t)
	w.start(t)
	w.useAllFeatures(t)
	if err := w.drey.Stop(); err != nil {
		t.Error(err)
	}
	if log := w.drey.Log(); strings.Contains(log, "forbidden") {
		t.Errorf("got a forbidden call:\n%s", log)
	}
	used := w.usedPermissions(t)
	for _, p := range grantedPermissions(t) {
		if strings.Contains(p, "wgpolicyk8s.io") { // used where openreports.io is not served: TestPolicyReports
			continue
		}
		if !used[p] {
			t.Errorf("permission %s: got no use, want it used or not granted", p)
		}
	}
	w.uninstall(t)
	if after := w.inventory(t); !slices.Equal(before, after) {
		t.Errorf("after uninstall: got\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// newWorld starts a control plane, with more arguments of the API server.
func newWorld(t *testing.T, apiServerArgs ...string) *world {
	t.Helper()
	dir := t.TempDir()
	audit, err := installed.NewAuditLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	program, err := drey.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.StartWith(t, cluster.Options{APIServerArgs: append(audit.APIServerArgs(), apiServerArgs...)})
	return &world{Cluster: c, client: kubernetes.NewForConfigOrDie(c.Config()), program: program, audit: audit}
}

// install runs drey install. It installs webhooks after drey's pods are ready; the test sets
// them ready in place of a kubelet.
func (w *world) install(t *testing.T) {
	t.Helper()
	w.apply(t, apiServerEndpoints)
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--dry-run")
	if _, err := w.client.CoreV1().Namespaces().Get(t.Context(), "drey-system", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("--dry-run: got %v, want no namespace", err)
	}
	if out, err := w.run(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "30s"); err == nil || !strings.Contains(out, "kubectl describe pods -n drey-system") || !strings.Contains(out, "deployment/drey is waiting: pods drey-") {
		t.Errorf("without a ready pod: got %v %s, want a timeout with the reason and the command to run", err, out)
	}
	if list, err := w.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
		t.Errorf("got the webhooks %v %v before drey is ready, want none", list.Items, err)
	}
	kubelet.Start(t, kubelet.Options{Cluster: w.Cluster, Namespaces: []string{"drey-system"}})
	w.apply(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: drey}}")
	if out, err := w.run(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m"); err == nil || strings.Contains(out, "applied") || !strings.Contains(out, "kubectl delete validatingwebhookconfiguration/drey") {
		t.Errorf("with a foreign object of the same name: got %v %s, want the command that deletes it", err, out)
	}
	w.MustKubectl(t, "", "delete", "validatingwebhookconfiguration/drey")
	if out := w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m"); !strings.Contains(out, "validatingwebhookconfiguration/drey applied") || !strings.Contains(out, "Next:\n  drey targets create") {
		t.Errorf("first install: got %s, want the webhooks applied, and the next step", out)
	}
	if ports := w.MustKubectl(t, "", "get", "networkpolicy", "drey", "-n", "drey-system", "-o", "jsonpath={.spec.egress[*].ports[*].port}"); !slices.Contains(strings.Fields(ports), "8443") {
		t.Errorf("NetworkPolicy: got egress to the ports %s, want that of the API server's endpoints too", ports)
	}
	if out := w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m"); strings.Contains(out, " applied") || !strings.Contains(out, "validatingwebhookconfiguration/drey up to date") {
		t.Errorf("second install: got %s, want everything up to date", out)
	}
}

// apiServerEndpoints are the endpoints of an API server like minikube's. The test's has none,
// because it serves loopback.
const apiServerEndpoints = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes, endpointslice.kubernetes.io/managed-by: test}}
addressType: IPv4
endpoints: [{addresses: [10.255.0.1]}]
ports: [{name: https, port: 8443, protocol: TCP}]
`

// installFlinkCRDs installs CRDs, without a schema, of the custom resources that drey watches.
func (w *world) installFlinkCRDs(t *testing.T) {
	t.Helper()
	for _, c := range flink.CustomResources {
		w.apply(t, fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: %[2]s
  scope: Namespaced
  names: {plural: %[1]s, singular: %[3]s, kind: %[4]s}
  versions: [{name: %[5]s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, c.Resource, c.Group, strings.ToLower(c.Kind), c.Kind, c.Version))
		w.MustKubectl(t, "", "wait", "--for=condition=Established", "crd/"+c.Resource+"."+c.Group)
	}
}

// createBeforeDrey creates an unlabeled object of each kind that drey labels, while drey is
// not installed.
func (w *world) createBeforeDrey(t *testing.T) {
	t.Helper()
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: staging, labels: {drey.dev/mode: audit}}}")
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: lenient, labels: {drey.dev/mode: audit}}}")
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: sandbox}}")
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: team-a}}")
	for _, namespace := range []string{"staging", "lenient", "sandbox"} {
		w.awaitServiceAccount(t, namespace)
	}
	w.apply(t, pod("staging", "missed", ""))
	w.MustKubectl(t, "", "delete", "validatingwebhookconfiguration/drey") // it fails closed until drey runs; start installs it again
	apply := func(manifest string) {
		eventually.OK(t, func() error { // until the deleted webhook is out of effect
			if out, err := w.RunKubectl(t, manifest, "apply", "-f", "-"); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	const template = "template: {metadata: {labels: {type: flink-native-kubernetes}}, spec: {restartPolicy: RESTART, containers: [{name: flink-main-container, image: flink:2.2}]}}"
	always, never := strings.Replace(template, "RESTART", "Always", 1), strings.Replace(template, "RESTART", "Never", 1)
	const selector = "replicas: 0, selector: {matchLabels: {type: flink-native-kubernetes}}, "
	for resource, o := range map[string]string{
		"deployment":  "apiVersion: apps/v1, kind: Deployment, spec: {" + selector + always + "}",
		"statefulset": "apiVersion: apps/v1, kind: StatefulSet, spec: {serviceName: s, " + selector + always + "}",
		"job":         "apiVersion: batch/v1, kind: Job, spec: {suspend: true, " + never + "}",
		"service":     "apiVersion: v1, kind: Service, spec: {ports: [{port: 80}]}",
		"configmap":   "apiVersion: v1, kind: ConfigMap",
	} {
		w.missed = append(w.missed, resource)
		apply("{" + o + ", metadata: {name: missed, namespace: staging, labels: {type: flink-native-kubernetes}}}")
	}
	for _, c := range flink.CustomResources {
		apply(fmt.Sprintf("{apiVersion: %s/%s, kind: %s, metadata: {name: missed, namespace: staging}, spec: {job: {}}}", c.Group, c.Version, c.Kind))
		if c.Kind != "FlinkApplication" { // drey does not label it
			w.missed = append(w.missed, c.Resource+"."+c.Group)
		}
	}
}

// tolerated is a Deployment that the mode of its namespace admits without a target.
const tolerated = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: tolerated, namespace: lenient}
spec:
  replicas: 3
  selector: {matchLabels: {component: jobmanager}}
  template:
    metadata: {labels: {component: jobmanager}}
    spec: {containers: [{name: jobmanager, image: "flink:2.2", args: [jobmanager]}]}
`

// awaitEvents waits for an event of a denial on a namespace, that counts some denials.
func (w *world) awaitEvents(t *testing.T, namespace string, want int) {
	t.Helper()
	eventually.OK(t, func() error {
		out, err := w.RunKubectl(t, "", "get", "events", "-n", namespace, "-o", `jsonpath={.items[?(@.reason=="NoDeploymentTarget")].count}`)
		if err != nil {
			return err
		}
		for count := range strings.FieldsSeq(out) {
			if n, err := strconv.Atoi(count); err == nil && n >= want {
				return nil
			}
		}
		return fmt.Errorf("events of denials in %s: got the counts %q, want one of %d", namespace, out, want)
	})
}

// pod returns a JobManager's pod as in Flink's documentation.
func pod(namespace, name, owners string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {component: jobmanager, pod-template-hash: 6cb7f4b7d4}, ownerReferences: [%s]}
spec: {containers: [{name: jobmanager, image: flink:2.2, args: [standalone-job]}]}
`, name, namespace, owners)
}

// start runs drey as its ServiceAccount with the arguments and the configuration of its
// Deployment, but other addresses, and installs the webhooks and policies for these addresses.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.token = w.tokenOf(t, "kube-system", "admin")
	w.MustKubectl(t, "", "create", "clusterrolebinding", "test-admin", "--clusterrole=cluster-admin", "--serviceaccount=kube-system:admin")
	kubeconfig, err := installed.Kubeconfig(t.Context(), w.Cluster, bundle.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.client.AppsV1().Deployments("drey-system").Get(t.Context(), "drey", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--kubeconfig", kubeconfig, "--install-webhooks=false", "--namespace", "drey-system", "--shutdown-delay", "1s",
		"--certs-ca-lifetime", "90s", "--certs-lifetime", "90s", "--ca-propagation-delay", "1s"}
	config, err := w.client.CoreV1().ConfigMaps("drey-system").Get(t.Context(), "drey", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // in place of the volume
	if err := os.WriteFile(filepath.Join(dir, bundle.ConfigKey), []byte(config.Data[bundle.ConfigKey]), 0o600); err != nil {
		t.Fatal(err)
	}
	container := d.Spec.Template.Spec.Containers[0]
	for _, a := range container.Args[1:] {
		args = append(args, strings.Replace(a, container.VolumeMounts[0].MountPath, dir, 1))
	}
	// A configuration has a Service or a URL: drey would complete the Service that is replaced below.
	w.MustKubectl(t, "", "delete", "mutatingwebhookconfiguration/drey", "validatingwebhookconfiguration/drey", "--ignore-not-found")
	w.drey, err = drey.Start(t.Context(), drey.Options{Program: w.program, Cluster: w.Cluster, Pod: true, DataDir: t.TempDir(), Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.drey.Kill() // it may have ended
		if t.Failed() {
			t.Log(w.drey.Log())
		}
	})
	w.rest = strings.Replace(w.drey.REST, "http:", "https:", 1)
	// drey may own the path of the Service already, so apply would not replace the Service.
	w.MustKubectl(t, "", "delete", "mutatingwebhookconfiguration/drey", "validatingwebhookconfiguration/drey", "--ignore-not-found")
	if err := installed.InstallWebhooks(t.Context(), w.Cluster, bundle.Defaults(), w.drey.Webhook); err != nil {
		t.Fatal(err)
	}
}

// useAllFeatures uses every permission of drey's ServiceAccount through drey's features.
func (w *world) useAllFeatures(t *testing.T) {
	t.Helper()
	const in = "/api/v1/namespaces/default/"
	w.call(t, 201, "POST", in+"deployment-targets", `{"metadata":{"name":"staging"},"spec":{"kubernetes":{"namespace":"staging"}}}`)
	w.call(t, 201, "POST", in+"sessionclusters", `{"metadata":{"name":"s"},"spec":{"deploymentTargetName":"staging"}}`)
	w.call(t, 201, "POST", in+"deployments", `{"metadata":{"name":"d"},"spec":{"deploymentTargetName":"staging"}}`)
	w.call(t, 201, "POST", "/namespaces/v1/namespaces", `{"name":"team-a"}`)
	w.call(t, 409, "DELETE", in+"deployment-targets/staging", "")
	const defaults = "/api/v1/namespaces/team-a/deployment-defaults"
	w.call(t, 201, "PUT", defaults, `{"spec":{"template":{}}}`)
	w.call(t, 200, "PUT", defaults, `{"spec":{}}`)
	w.checkConsole(t)

	// Objects from before drey are labeled.
	eventually.OK(t, func() error {
		return w.has(t, "staging", "missed", `"vvpNamespace":"default"`)
	})
	for _, resource := range w.missed {
		eventually.OK(t, func() error {
			if out := w.MustKubectl(t, "", "get", resource, "missed", "-n", "staging", "-o", "jsonpath={.metadata.labels.vvpNamespace}"); out != "default" {
				return fmt.Errorf("%s: got the label vvpNamespace=%q, want default", resource, out)
			}
			return nil
		})
	}
	// New pods are labeled in admission; drey resolves owners of all kinds.
	uid := 0 // distinct, since drey caches owners by uid
	owner := func(apiVersion, kind string) string {
		uid++
		return fmt.Sprintf(`{apiVersion: %s, kind: %s, name: o, uid: 7a0c0e1d-2b3a-4958-8776-%012d, controller: true}`, apiVersion, kind, uid)
	}
	owners := map[string]string{"statefulset": owner("apps/v1", "StatefulSet"), "daemonset": owner("apps/v1", "DaemonSet"), "job": owner("batch/v1", "Job"), "cronjob": owner("batch/v1", "CronJob"), "deployment": owner("apps/v1", "ReplicaSet")}
	for _, c := range flink.CustomResources {
		owners[strings.ToLower(c.Kind)] = owner(c.Group+"/"+c.Version, c.Kind)
	}
	for name, ref := range owners {
		if strings.Contains(ref, "ReplicaSet") {
			ref = strings.Replace(ref, "name: o", "name: o-6cb7f4b7d4", 1)
		}
		eventually.OK(t, func() error {
			out, err := w.RunKubectl(t, pod("staging", name, ref), "apply", "-f", "-", "-o", "json")
			if err == nil && !strings.Contains(out, `"system": "ververica-platform"`) {
				err = fmt.Errorf("got no labels: %s", out)
			}
			w.RunKubectl(t, "", "delete", "pod", name, "-n", "staging", "--now", "--ignore-not-found") // its owner does not exist
			return err
		})
	}
	// Without a target a pod is denied, or admitted with an event.
	for range 3 {
		w.awaitDenied(t, pod("sandbox", "stranger", ""), "has no DeploymentTarget")
	}
	eventually.OK(t, func() error { // until drey's watch has the namespace's mode
		out, err := w.RunKubectl(t, tolerated, "apply", "-f", "-")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	w.awaitEvents(t, "lenient", 1)
	w.awaitEvents(t, "sandbox", 3) // in one event
	// A report has the workload while it runs.
	w.MustKubectl(t, "", "create", "namespace", "reported")
	w.call(t, 201, "POST", in+"deployment-targets", `{"metadata":{"name":"reported"},"spec":{"kubernetes":{"namespace":"reported"}}}`)
	w.apply(t, pod("reported", "short", ""))
	report := func(want string) {
		eventually.OK(t, func() error {
			if out, _ := w.RunKubectl(t, "", "get", "reports.openreports.io", "drey", "-n", "reported", "-o", "jsonpath={.summary} {.results}"); !strings.Contains(out, want) {
				return fmt.Errorf("report: got %s, want %s", out, want)
			}
			return nil
		})
	}
	report(`"name":"short"`)
	w.MustKubectl(t, "", "delete", "pod", "short", "-n", "reported", "--now")
	report("NotFound")
	w.call(t, 200, "DELETE", in+"deployment-targets/reported", "")
	w.MustKubectl(t, "", "delete", "namespace", "reported")

	w.call(t, 200, "GET", in+"jobs", "")
	if code, body := w.send(t, "GET", w.drey.Metrics+"/metrics", ""); code != 200 || !strings.Contains(body, "drey_targets 1") {
		t.Errorf("metrics: got %d %.200s, want drey_targets 1", code, body)
	}

	// The registry webhook validates kubectl's writes.
	const target = "{apiVersion: drey.dev/v1, kind: DeploymentTarget, metadata: {name: byhand, namespace: default}, spec: {kubernetes: {namespace: team-a}}}"
	const dangling = "{apiVersion: drey.dev/v1, kind: Deployment, metadata: {name: lost, namespace: default}, spec: {deploymentTargetName: nowhere}}"
	if out, err := w.RunKubectl(t, dangling, "apply", "-f", "-"); err == nil || !strings.Contains(out, `"registry.drey.dev" denied the request`) || !strings.Contains(out, "there is no DeploymentTarget") {
		t.Errorf("a dangling reference: got %v %s, want a denial", err, out)
	}
	w.apply(t, target)
	w.MustKubectl(t, "", "delete", "deploymenttargets.drey.dev", "byhand", "-n", "default")

	// The registry: all verbs and kinds.
	for _, collection := range []string{"deployments/d", "sessionclusters/s"} {
		w.call(t, 200, "PUT", in+collection, `{"metadata":{"labels":{"a":"b"}},"spec":{"deploymentTargetName":"staging"}}`)
		w.call(t, 200, "DELETE", in+collection, "")
	}
	w.MustKubectl(t, "", "delete", "pod", "--all", "-n", "staging", "--now")
	for _, resource := range append(w.missed, "flinkapplications.flink.k8s.io") { // they block the deletion of the target
		w.MustKubectl(t, "", "delete", resource, "missed", "-n", "staging")
	}
	w.call(t, 200, "PUT", in+"deployment-targets/staging", `{"metadata":{"labels":{"a":"b"}},"spec":{"kubernetes":{"namespace":"staging"}}}`)
	eventually.OK(t, func() error {
		if code, body := w.send(t, "DELETE", w.rest+in+"deployment-targets/staging", ""); code != 200 {
			return fmt.Errorf("got %d %s, want 200", code, body)
		}
		return nil
	})
	w.call(t, 200, "DELETE", "/namespaces/v1/namespaces/team-a", "") // with its DeploymentDefaults
	// Certificates rotate.
	eventually.OK(t, func() error {
		if n := strings.Count(w.drey.Log(), `"certificates changed"`); n < 3 {
			return fmt.Errorf("got %d certificate rotations, want 3", n)
		}
		return nil
	})
}

// has returns an error unless a pod's JSON contains part.
func (w *world) has(t *testing.T, namespace, name, part string) error {
	t.Helper()
	p, err := w.client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if text, _ := json.Marshal(p); !strings.Contains(string(text), part) {
		return fmt.Errorf("pod %s has no %s: %v", name, part, p.Labels)
	}
	return nil
}

// usedPermissions returns the permissions of drey's calls in the audit log. A forbidden
// call fails the test.
func (w *world) usedPermissions(t *testing.T) map[string]bool {
	t.Helper()
	if err := w.audit.Forbidden(); err != nil {
		t.Error(err)
	}
	calls, err := w.audit.Calls()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, c := range calls {
		resource := c.ObjectRef.Resource
		if c.ObjectRef.Subresource != "" {
			resource += "/" + c.ObjectRef.Subresource
		}
		used[permission(c.Verb, c.ObjectRef.APIGroup, resource)] = true
	}
	return used
}

func permission(verb, group, resource string) string {
	return fmt.Sprintf("%s %s of group %q", verb, resource, group)
}

// grantedPermissions returns the permissions of drey's ServiceAccount, sorted.
func grantedPermissions(t *testing.T) []string {
	t.Helper()
	stages, err := bundle.Stages(bundle.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, s := range stages {
		for _, o := range s.Objects {
			if k := o.GetKind(); k != "Role" && k != "ClusterRole" || slices.Contains([]string{"drey-metrics", "drey-view", "drey-edit", "drey-admin"}, o.GetName()) { // of others
				continue
			}
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
				t.Fatal(err)
			}
			for _, r := range role.Rules {
				for _, verb := range r.Verbs {
					for _, resource := range r.Resources {
						all[permission(verb, r.APIGroups[0], resource)] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// uninstall runs drey uninstall, which keeps the registry, and then with --purge.
func (w *world) uninstall(t *testing.T) {
	t.Helper()
	w.mustRun(t, "uninstall", "--kubeconfig", w.Kubeconfig(), "--dry-run")
	if _, err := w.client.AppsV1().Deployments("drey-system").Get(t.Context(), "drey", metav1.GetOptions{}); err != nil {
		t.Fatalf("--dry-run: got %v, want the Deployment kept", err)
	}
	for _, c := range flink.CustomResources {
		w.MustKubectl(t, "", "delete", "crd", c.Resource+"."+c.Group)
	}
	w.MustKubectl(t, "", "delete", "crd", "reports.openreports.io")
	w.MustKubectl(t, "", "delete", "clusterrolebinding/test-admin")
	out := w.mustRun(t, "uninstall", "--kubeconfig", w.Kubeconfig())
	first, last := strings.Index(out, "validatingwebhookconfiguration/drey removed"), strings.Index(out, "deployment/drey removed")
	if first < 0 || last < first || !strings.Contains(out, "--purge") {
		t.Errorf("got %s, want the webhooks removed first, and --purge named", out)
	}
	w.MustKubectl(t, "", "get", "deploymenttargets.drey.dev", "-A")
	if out, err := w.run(t, "uninstall", "--kubeconfig", w.Kubeconfig(), "--purge"); exitCode(err) != 2 || !strings.Contains(out, "--yes") {
		t.Errorf("--purge without a confirmation: got %v %s, want exit code 2", err, out)
	}
	w.mustRun(t, "uninstall", "--kubeconfig", w.Kubeconfig(), "--purge", "--yes")
	for _, again := range [][]string{{"--purge", "--yes"}, {"--purge"}} { // without a prompt
		if out := w.mustRun(t, append([]string{"uninstall", "--kubeconfig", w.Kubeconfig()}, again...)...); !strings.HasPrefix(out, "nothing to remove") {
			t.Errorf("the second time, with %q: got %s, want nothing to remove", again, out)
		}
	}
	for _, n := range []string{"staging", "lenient", "sandbox", "team-a"} {
		if labels := w.MustKubectl(t, "", "get", "namespace", n, "-o", "jsonpath={.metadata.labels}"); strings.Contains(labels, "drey.dev/registered") {
			t.Errorf("namespace %s: got the labels %s, want no drey.dev/registered", n, labels)
		}
		w.MustKubectl(t, "", "delete", "namespace", n)
	}
	w.MustKubectl(t, "", "delete", "serviceaccount", "admin", "-n", "kube-system")
}

// inventory lists the objects of all kinds that drey install creates.
func (w *world) inventory(t *testing.T) []string {
	t.Helper()
	out := w.MustKubectl(t, "", "get", "-A", "--ignore-not-found", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{"\n"}{end}`,
		"namespaces,crd,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,deployments,pdb,networkpolicies,resourcequotas,configmaps,leases,secrets,"+
			"mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings")
	lines := slices.Sorted(strings.Lines(out))
	return slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "Lease/kube-system/") || strings.HasPrefix(line, "ConfigMap/kube-system/") || strings.HasSuffix(line, "/kube-root-ca.crt\n")
	})
}

// tokenOf creates a ServiceAccount and returns a token of it.
func (w *world) tokenOf(t *testing.T, namespace, name string) string {
	t.Helper()
	w.MustKubectl(t, "", "create", "serviceaccount", name, "-n", namespace)
	return strings.TrimSpace(w.MustKubectl(t, "", "create", "token", name, "-n", namespace))
}

// call sends a REST request, and fails the test unless the status is want.
func (w *world) call(t *testing.T, want int, method, path, body string) {
	t.Helper()
	if code, text := w.send(t, method, w.rest+path, body); code != want {
		t.Fatalf("%s %s: got %d %s, want %d", method, path, code, text, want)
	}
}

// checkConsole reads the console with the token, as an authenticating proxy does.
func (w *world) checkConsole(t *testing.T) {
	t.Helper()
	w.call(t, 200, "GET", "/console/targets/default/staging", "")
	eventually.OK(t, func() error { // the leader may not be elected yet
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.rest+"/", nil)
		if err != nil {
			return err
		}
		request.Header = http.Header{"Accept": {"text/html"}, "Authorization": {"Bearer " + w.token}}
		code, text, err := do(request)
		for _, part := range []string{"custom resources", "of 2", "<dt>Leader</dt><dd>", "drey webhook CA, until"} {
			if err == nil && (code != http.StatusOK || !strings.Contains(text, part)) {
				err = fmt.Errorf("overview: got %d %s, want %q", code, text, part)
			}
		}
		if err == nil && (strings.Contains(text, "not elected") || strings.Contains(text, "<dt>Unknown</dt>")) {
			err = fmt.Errorf("overview: got %s, want a leader", text)
		}
		return err
	})
}

// send sends an HTTP request with the token.
func (w *world) send(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+w.token)
	code, text, err := do(request)
	if err != nil {
		t.Fatal(err)
	}
	return code, text
}

func do(request *http.Request) (code int, text string, err error) {
	response, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func (w *world) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), w.program, args...).CombinedOutput()
	return string(out), err
}

func (w *world) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.run(t, args...)
	if err != nil {
		t.Fatalf("drey %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// awaitDenied applies a manifest until it is denied with a message.
func (w *world) awaitDenied(t *testing.T, manifest, message string) {
	t.Helper()
	eventually.OK(t, func() error {
		out, err := w.RunKubectl(t, manifest, "apply", "-f", "-")
		if err == nil || !strings.Contains(out, message) {
			return fmt.Errorf("got %s, want the denial %q", out, message)
		}
		return nil
	})
}

// awaitServiceAccount waits until pods can be created in a namespace.
func (w *world) awaitServiceAccount(t *testing.T, namespace string) {
	t.Helper()
	eventually.OK(t, func() error { // kubectl 1.30 has no wait --for=create
		out, err := w.RunKubectl(t, "", "get", "serviceaccount", "default", "-n", namespace)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

func (w *world) apply(t *testing.T, manifest string) {
	t.Helper()
	if out, err := w.RunKubectl(t, manifest, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, manifest)
	}
}
