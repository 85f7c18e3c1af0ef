package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
)

// finding is a finding of drey doctor.
type finding struct{ Check, Level, Message, Fix string }

// fault is a way to break an installation.
type fault struct {
	name   string
	make   func(t *testing.T)
	want   []string                       // all findings that are not OK, as "LEVEL check: part of the message"
	remedy string                         // check whose fix is run; empty: restore
	undo   func(t *testing.T)             // nil: nothing
	fix    func(t *testing.T, fix string) // checks the fix; nil: none
}

// TestDoctorFaults breaks an installation in many ways. drey doctor reports what is wrong and
// nothing else, and is satisfied once the printed command has run.
func TestDoctorFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gke(t).apiServerArgs...)
	w.expectFindings(t, "FAIL server: drey is not installed in namespace drey-system")
	w.apply(t, apiServerEndpoints)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var statuses atomic.Pointer[func(i int) corev1.PodStatus]
	asReady := func(int) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	}
	statuses.Store(&asReady)
	go w.keepPodStatuses(ctx, &statuses)
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m")
	// Without a kubelet the pods have no addresses, so the Service needs an endpoint.
	endpoints := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "drey-test", Labels: map[string]string{"kubernetes.io/service-name": "drey", "endpointslice.kubernetes.io/managed-by": "test"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.255.0.1"}}},
	}
	createEndpoints := func(t *testing.T) {
		if _, err := w.client.DiscoveryV1().EndpointSlices("drey-system").Create(t.Context(), endpoints.DeepCopy(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	createEndpoints(t)
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
	w.expectFindings(t)

	kubectl := func(args ...string) func(t *testing.T) {
		return func(t *testing.T) { w.MustKubectl(t, "", args...) }
	}
	patch := func(object, patch string) func(t *testing.T) {
		return kubectl("patch", object, "-n", "drey-system", "--type=json", "-p", patch)
	}
	pods := func(status func(i int) corev1.PodStatus) func(t *testing.T) {
		return func(*testing.T) { statuses.Store(&status) }
	}
	waiting := func(reason, message string) func(int) corev1.PodStatus {
		return func(int) corev1.PodStatus {
			return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
				Name: "drey", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}},
			}}}
		}
	}
	readyAgain := pods(asReady)
	const denied = "FAIL admission: no replica serves the webhooks; denied now: new Flink workloads in every namespace"
	reinstall := func(t *testing.T) { w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m") }
	for _, f := range []fault{
		{"policy binding deleted", kubectl("delete", "validatingadmissionpolicybinding", "drey-gate"), []string{"FAIL objects: validatingadmissionpolicybinding/drey-gate does not exist"}, "objects", nil, nil},
		{"webhook changed", patch("mutatingwebhookconfiguration/drey", `[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]`), []string{"FAIL objects: mutatingwebhookconfiguration/drey differs from that of this version, at webhooks[0].failurePolicy"}, "objects", nil, nil},
		{"RBAC rule removed", patch("clusterrole/drey", `[{"op":"remove","path":"/rules/0"}]`), []string{"FAIL objects: clusterrole/drey differs from that of this version, at rules"}, "objects", nil, nil},
		{"three objects deleted", kubectl("delete", "validatingadmissionpolicy/drey-gate", "clusterrole/drey-metrics", "service/drey", "-n", "drey-system"), []string{"FAIL objects: 3 objects do not exist: "}, "objects", nil, nil},
		{"webhook restricted", patch("validatingwebhookconfiguration/drey", `[{"op":"add","path":"/webhooks/0/objectSelector","value":{"matchLabels":{"never":"x"}}}]`), []string{"FAIL objects: validatingwebhookconfiguration/drey has more than this version installs, at webhooks[0].objectSelector"}, "objects", nil, nil},
		{"binding restricted", kubectl("patch", "validatingadmissionpolicybinding", "drey-gate", "--type=merge", "-p", `{"spec":{"matchResources":{"namespaceSelector":{"matchLabels":{"never":"x"}}}}}`), []string{"FAIL objects: validatingadmissionpolicybinding/drey-gate has more than this version installs, at spec.matchResources"}, "objects", nil, nil},
		{"webhooks and policies deleted", kubectl("delete", "validatingwebhookconfiguration/drey", "mutatingwebhookconfiguration/drey", "validatingadmissionpolicybinding/drey-gate", "validatingadmissionpolicybinding/drey-registered-label",
			"validatingadmissionpolicybinding/drey-claim", "validatingadmissionpolicybinding/drey-repair", "validatingadmissionpolicy/drey-gate", "validatingadmissionpolicy/drey-registered-label", "validatingadmissionpolicy/drey-claim", "validatingadmissionpolicy/drey-repair"),
			[]string{"FAIL admission: the webhooks are not registered"}, "admission", nil, nil},
		{"PodDisruptionBudget deleted", kubectl("delete", "pdb", "drey", "-n", "drey-system"), []string{"WARN objects: poddisruptionbudget/drey does not exist"}, "objects", nil, nil},
		{"invalid configuration", kubectl("patch", "configmap", "drey", "-n", "drey-system", "--type=merge", "-p", `{"data":{"config.yaml":"{apiVersion: config.drey.dev/v1alpha1, kind: DreyConfiguration, stor: embedded}"}}`), []string{`FAIL configuration: configmap/drey is invalid, and drey does not start with it: unknown field "stor"`}, "", func(t *testing.T) {
			w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m")
		}, nil},
		{"invalid mode", kubectl("label", "namespace", "default", "drey.dev/mode=loud"), []string{"WARN modes: namespace default has an invalid mode in the label drey.dev/mode=loud"}, "modes", nil, nil},
		{"target of a missing namespace", func(t *testing.T) { // over REST: the API server cannot reach the Service
			if err := d.Register(t.Context(), "default", "t", "nowhere"); err != nil {
				t.Fatal(err)
			}
		}, []string{"WARN targets: DeploymentTarget t in platform namespace default points at namespace nowhere"}, "targets", nil, nil},
		{"NetworkPolicy without the API server's port", patch("networkpolicy/drey", `[{"op":"remove","path":"/spec/egress/0/ports/2"}]`), []string{"WARN network: networkpolicy/drey does not allow egress to port 8443"}, "network", nil, nil},
		{"NetworkPolicy without ingress", patch("networkpolicy/drey", `[{"op":"remove","path":"/spec/ingress"}]`), []string{"WARN network: networkpolicy/drey does not allow ingress to port 9443"}, "network", nil, nil},
		{"NetworkPolicy with a range of ports", patch("networkpolicy/drey", `[{"op":"replace","path":"/spec/egress","value":[{"ports":[{"port":1,"endPort":65535,"protocol":"TCP"}]}]}]`), nil, "", reinstall, nil},
		{"CRD deleted", kubectl("delete", "crd", "sessionclusters.drey.dev"), []string{"FAIL objects: customresourcedefinition/sessionclusters.drey.dev does not exist"}, "objects", nil, nil},
		{"webhook by URL", patch("validatingwebhookconfiguration/drey", `[{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":"https://10.0.0.1:9443/validate/workloads"}}]`),
			[]string{"FAIL objects: webhooks of validatingwebhookconfiguration/drey call https://10.0.0.1:9443 instead of the Service drey"}, "", func(t *testing.T) {
				w.mustRun(t, "uninstall", "--kubeconfig", w.Kubeconfig(), "--admission-only")
				reinstall(t)
			}, func(t *testing.T, fix string) {
				if !strings.Contains(fix, "drey uninstall -n drey-system --admission-only, which opens all namespaces to Flink") {
					t.Errorf("got the fix %q, want the commands with their consequence", fix)
				}
			}},
		{"policy of another version", func(t *testing.T) {
			w.apply(t, `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: drey-mark, labels: {app.kubernetes.io/name: drey}}, spec: {matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [namespaces]}]}, validations: [{expression: "true"}]}}`)
		}, []string{"WARN objects: validatingadmissionpolicy/drey-mark of another version"}, "objects", nil, nil},
		{"binding of another account", patch("clusterrolebinding/drey-registry", `[{"op":"replace","path":"/subjects/0/name","value":"dray"}]`), []string{"FAIL objects: clusterrolebinding/drey-registry differs from that of this version, at subjects[0].name"}, "objects", nil, nil},
		{"timeout of a webhook", patch("validatingwebhookconfiguration/drey", `[{"op":"replace","path":"/webhooks/0/timeoutSeconds","value":1}]`), []string{"FAIL objects: validatingwebhookconfiguration/drey differs from that of this version, at webhooks[0].timeoutSeconds"}, "objects", nil, nil},
		{"image not found", pods(waiting("ImagePullBackOff", "Back-off pulling image")), []string{"FAIL server: none of 2 replicas is ready: pods drey-", denied}, "", readyAgain, nil},
		{"crash", pods(waiting("CrashLoopBackOff", "back-off 10s")), []string{"FAIL server: none of 2 replicas is ready: pods drey-", denied}, "", readyAgain, nil},
		{"nodes with a taint", pods(func(int) corev1.PodStatus {
			return corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: infra}."}}}
		}), []string{"FAIL server: none of 2 replicas is ready: pods drey-", denied}, "", readyAgain, nil},
		{"one of two replicas not ready", pods(func(i int) corev1.PodStatus {
			if i == 0 {
				return asReady(i)
			}
			return corev1.PodStatus{Phase: corev1.PodRunning}
		}), []string{"WARN server: 1 of 2 replicas are ready: pod drey-"}, "", readyAgain, nil},
		{"quota of the priority class deleted", func(t *testing.T) {
			kubectl("delete", "resourcequota", "drey", "-n", "drey-system")(t)
			kubectl("delete", "pods", "--all", "-n", "drey-system", "--now")(t)
		}, []string{"WARN objects: resourcequota/drey does not exist", "FAIL server: none of 2 replicas is ready: no pod is created: FailedCreate: insufficient quota to match these scopes", denied}, "objects", nil, nil},
		{"scaled to zero", kubectl("scale", "deployment/drey", "-n", "drey-system", "--replicas=0"), []string{"FAIL server: deployment/drey is scaled to 0 replicas", denied}, "server", nil, nil},
		{"one replica", kubectl("scale", "deployment/drey", "-n", "drey-system", "--replicas=1"), []string{"WARN server: one replica"}, "server", nil, nil},
		{"second container with arguments like drey's", patch("deployment/drey", `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"sidecar","image":"sidecar","args":["--store=embedded","--mode=audit","--certs=cert-manager"],
			"resources":{"requests":{"cpu":"1m","memory":"1Mi"}},"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}}]`), nil, "", patch("deployment/drey", `[{"op":"remove","path":"/spec/template/spec/containers/1"}]`), nil},
		{"AKS admissions enforcer", w.enforceAdmissions, nil, "", func(t *testing.T) { w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m") }, nil},
		{"no endpoints", kubectl("delete", "endpointslice", "drey-test", "-n", "drey-system"), []string{"FAIL server: the Service drey has no endpoints", denied}, "", createEndpoints, nil},
		{"webhook of others", func(t *testing.T) {
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
		}, []string{"WARN deadlock: the webhook inject.example.com of validatingwebhookconfiguration/mesh"}, "", kubectl("delete", "validatingwebhookconfiguration", "mesh"), nil},
		{"Helm release", func(t *testing.T) {
			kubectl("annotate", "deployment/drey", "-n", "drey-system", "meta.helm.sh/release-name=r", "meta.helm.sh/release-namespace=drey-system")(t)
			kubectl("delete", "pdb", "drey", "-n", "drey-system")(t)
		}, []string{"WARN objects: poddisruptionbudget/drey does not exist"}, "", func(t *testing.T) {
			kubectl("annotate", "deployment/drey", "-n", "drey-system", "meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-")(t)
			w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m")
		}, func(t *testing.T, fix string) {
			if !strings.Contains(fix, `helm upgrade of the Helm release "r"`) {
				t.Errorf("got the fix %q, want that of Helm", fix)
			}
		}},
		{"Deployment deleted", kubectl("delete", "deployment", "drey", "-n", "drey-system"), []string{"FAIL server: no drey runs in namespace drey-system, and its webhooks are registered; denied now"}, "server", nil, nil},
	} {
		t.Run(f.name, func(t *testing.T) { w.playFault(t, f) })
	}

	// The options are those of the configuration file: the bindings of another mode are expected.
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m", "--mode", "audit")
	w.expectFindings(t)
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m")
	w.expectFindings(t)

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
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m")
	w.expectFindings(t)
	if strings.Count(paths(), "/") != strings.Count(before, "/") {
		t.Errorf("after kubectl replace: got %d segments in the paths, want %d", strings.Count(paths(), "/"), strings.Count(before, "/"))
	}

	// Without a process that corrects them.
	stopped = true
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	const noLeader = "FAIL leader: no leader"
	w.MustKubectl(t, "", "delete", "lease", "--all", "-n", "drey-system")
	w.expectFindings(t, noLeader)
	w.MustKubectl(t, "", "patch", "mutatingwebhookconfiguration/drey", "--type=json", "-p", `[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`)
	w.expectFindings(t, noLeader, "FAIL caBundle: the webhook label-pods.drey.dev does not trust the serving certificate: no caBundle", "FAIL admission: 1 of ")
	w.MustKubectl(t, "", "delete", "secret", "drey-certs", "-n", "drey-system")
	w.expectFindings(t, noLeader, "WARN certificate: no certificate in Secret drey-certs", "FAIL caBundle: the webhook label-pods.drey.dev", "FAIL admission: 1 of ")
	w.MustKubectl(t, "", "patch", "validatingwebhookconfiguration", "drey", "--type=json", "-p", `[{"op":"replace","path":"/webhooks/0/clientConfig/service/path","value":"/validate/workloads"}]`)
	w.expectFindings(t, noLeader, "WARN certificate: no certificate in Secret drey-certs", "FAIL caBundle: the webhook label-pods.drey.dev", "FAIL path: the path of the webhook workloads.drey.dev has no token", "FAIL admission: 1 of ")
	if out, err := w.doctor(t); exitCode(err) != 1 || strings.Count(out, "drey install") > 1 {
		t.Errorf("got exit code %d and %s, want 1, and each fix once", exitCode(err), out)
	}
}

// playFault makes a fault, compares the findings, and corrects it.
func (w *world) playFault(t *testing.T, f fault) {
	f.make(t)
	found := w.expectFindings(t, f.want...)
	for _, one := range found {
		if f.fix != nil && one.Level != "OK" {
			f.fix(t, one.Fix)
		}
		if f.remedy != "" && one.Check == f.remedy {
			w.runFix(t, one.Fix)
		}
	}
	if f.undo != nil {
		f.undo(t)
	}
	w.expectFindings(t)
}

// expectFindings runs drey doctor until its findings other than OK are those of want, in their
// order. It returns them.
func (w *world) expectFindings(t *testing.T, want ...string) (bad []finding) {
	t.Helper()
	eventually.OK(t, func() error {
		out, err := w.run(t, "doctor", "--kubeconfig", w.Kubeconfig(), "-o", "json")
		var report struct{ Findings []finding }
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&report); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		bad = nil
		var got []string
		failed := false
		for _, f := range report.Findings {
			if f.Level != "OK" {
				bad, got = append(bad, f), append(got, f.Level+" "+f.Check+": "+f.Message)
			}
			failed = failed || f.Level == "FAIL"
		}
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			return fmt.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		if failed != (exitCode(err) == 1) {
			return fmt.Errorf("got exit code %d of %v", exitCode(err), got)
		}
		return nil
	})
	return bad
}

// runFix runs the command of a fix in a shell, as a user would.
func (w *world) runFix(t *testing.T, fix string) {
	t.Helper()
	command := fix
	for _, end := range []string{" (", "; ", ", or "} {
		command, _, _ = strings.Cut(command, end)
	}
	if strings.HasPrefix(command, "correct the check") {
		t.Fatalf("got no command: %s", fix)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Env = w.shellEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// shellEnv is the environment of a shell with drey, kubectl and the administrator's kubeconfig.
func (w *world) shellEnv() []string {
	return append(os.Environ(), "KUBECONFIG="+w.Kubeconfig(), "PATH="+filepath.Dir(w.program)+":"+filepath.Dir(w.Kubectl())+":"+os.Getenv("PATH"))
}

// enforceAdmissions adds requirements to each namespaceSelector, as AKS's admissions enforcer
// does.
func (w *world) enforceAdmissions(t *testing.T) {
	t.Helper()
	excluded := []metav1.LabelSelectorRequirement{
		{Key: "control-plane", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}},
		{Key: "kubernetes.azure.com/managedby", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"aks"}},
	}
	api, options := w.client.AdmissionregistrationV1(), metav1.UpdateOptions{FieldManager: "admissionsenforcer"}
	mutating, err := api.MutatingWebhookConfigurations().Get(t.Context(), "drey", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range mutating.Webhooks {
		selector := mutating.Webhooks[i].NamespaceSelector
		selector.MatchExpressions = append(selector.MatchExpressions, excluded...)
	}
	if _, err := api.MutatingWebhookConfigurations().Update(t.Context(), mutating, options); err != nil {
		t.Fatal(err)
	}
	validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "drey", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range validating.Webhooks {
		selector := validating.Webhooks[i].NamespaceSelector
		selector.MatchExpressions = append(selector.MatchExpressions, excluded...)
	}
	if _, err := api.ValidatingWebhookConfigurations().Update(t.Context(), validating, options); err != nil {
		t.Fatal(err)
	}
}

// keepPodStatuses sets the status of drey's pods, as a kubelet would, until ctx ends.
func (w *world) keepPodStatuses(ctx context.Context, statuses *atomic.Pointer[func(i int) corev1.PodStatus]) {
	for ctx.Err() == nil {
		pods, err := w.client.CoreV1().Pods("drey-system").List(ctx, metav1.ListOptions{})
		if err == nil {
			slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
			for i, p := range pods.Items {
				p.Status = (*statuses.Load())(i)
				_, _ = w.client.CoreV1().Pods("drey-system").UpdateStatus(ctx, &p, metav1.UpdateOptions{}) // the next round retries
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// doctor runs drey doctor.
func (w *world) doctor(t *testing.T) (string, error) {
	t.Helper()
	return w.run(t, "doctor", "--kubeconfig", w.Kubeconfig())
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}
