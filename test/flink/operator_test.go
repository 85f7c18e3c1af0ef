package flink

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/flink/image"
	"drey.dev/drey/test/framework/eventually"
)

const (
	classpathVariable = "FLINK_OPERATOR_CLASSPATH"
	crdsVariable      = "FLINK_OPERATOR_CRDS"

	operatorTimeout = 5 * time.Minute // of a reconciliation and the start of Flink
)

// crdsDir is the default directory of Flink's published CRDs, outside this repository.
var crdsDir = filepath.Join("..", "..", "..", "shared", "corpus", "crds")

var (
	flinkDeployments = schema.GroupVersionResource{Group: "flink.apache.org", Version: "v1beta1", Resource: "flinkdeployments"}
	flinkSessionJobs = schema.GroupVersionResource{Group: "flink.apache.org", Version: "v1beta1", Resource: "flinksessionjobs"}
)

// TestOperator runs clusters through the Flink Kubernetes operator, with the first version
// of -versions.
func TestOperator(t *testing.T) {
	classpath := os.Getenv(classpathVariable)
	if classpath == "" {
		t.Skipf("set %s to the class path of the Flink Kubernetes operator, with flink-kubernetes and log4j", classpathVariable)
	}
	crds := os.Getenv(crdsVariable)
	if crds == "" {
		crds = crdsDir
	}
	if _, err := os.Stat(crds); err != nil {
		t.Skipf("%v; set %s to the directory of the operator's CustomResourceDefinitions", err, crdsVariable)
	}
	w := newWorld(t, versions()[0])
	w.register()
	w.startOperator(classpath, crds)

	t.Run("application", func(t *testing.T) {
		w := w.in(t)
		w.flinkDeployment("app", "native", true)
		w.awaitRunning("app")
		w.dump("operator-application", "app")
		w.checkOperator("operator-application", "app", application)
		if t.Failed() {
			return
		}
		t.Run("TaskManager killed", func(t *testing.T) {
			w := w.in(t)
			w.killTaskManager("app")
			w.checkOperator("operator-taskmanager-killed", "app", application)
		})
		t.Run("suspended and resumed", func(t *testing.T) {
			w := w.in(t)
			w.patchDeployment("app", `{"spec":{"job":{"state":"suspended"}}}`)
			w.awaitNoPods("app")
			w.patchDeployment("app", `{"spec":{"job":{"state":"running"}}}`)
			w.awaitRunningWithin("app", operatorTimeout)
			w.checkOperator("operator-resumed", "app", application)
		})
		w.deleteDeployment("app")
	})
	t.Run("session", func(t *testing.T) {
		w := w.in(t)
		w.flinkDeployment("session", "native", false)
		w.awaitJobManager("session")
		w.sessionJob("job", "session")
		w.awaitRunningWithin("session", operatorTimeout)
		w.dump("operator-session", "session")
		w.checkOperator("operator-session", "session", session)
		if err := w.dynamic.Resource(flinkSessionJobs).Namespace(w.namespace).Delete(t.Context(), "job", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		w.awaitGone(flinkSessionJobs, "job")
		w.deleteDeployment("session")
	})
	t.Run("standalone application", func(t *testing.T) {
		w := w.in(t)
		w.flinkDeployment("standalone", "standalone", true)
		w.awaitRunningWithin("standalone", operatorTimeout)
		w.dump("operator-standalone", "standalone")
		w.checkOperator("operator-standalone", "standalone", application)
		w.deleteDeployment("standalone")
	})
	t.Run("namespace without a target", func(t *testing.T) {
		w := w.in(t)
		w.namespace = w.Namespace(t)
		err := w.createDeployment("denied", "native", true)
		if err == nil || !strings.Contains(err.Error(), "has no DeploymentTarget") {
			t.Errorf("got %v, want a denial", err)
		}
	})
}

// checkOperator is checkLabels for the cluster of a FlinkDeployment.
func (w *world) checkOperator(scenario, name string, m mode) {
	w.t.Helper()
	root, err := w.dynamic.Resource(flinkDeployments).Namespace(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.checkLabels(scenario, name, m, root)
}

// startOperator installs the CRDs and runs the operator until the test ends.
func (w *world) startOperator(classpath, crds string) {
	w.t.Helper()
	w.MustKubectl(w.t, "", "create", "-f", crds)
	eventually.OK(w.t, func() error { // kubectl wait fails for a CRD without a status
		for _, r := range []schema.GroupVersionResource{flinkDeployments, flinkSessionJobs} {
			if _, err := w.dynamic.Resource(r).List(w.t.Context(), metav1.ListOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := w.kube.RbacV1().ClusterRoleBindings().Create(w.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "flink-operator"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: image.ServiceAccount}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	dir, err := os.MkdirTemp(w.dir, "operator-")
	if err != nil {
		w.t.Fatal(err)
	}
	conf, plugins := filepath.Join(dir, "conf"), filepath.Join(dir, "plugins")
	client, err := image.NewClient(w.client.Dist, w.runtime.Kubeconfig, conf)
	if err != nil {
		w.t.Fatal(err)
	}
	text := image.Render("flink-conf.yaml", map[string]string{
		"taskmanager.numberOfTaskSlots":                        "1",
		"parallelism.default":                                  "1",
		"kubernetes.operator.reconcile.interval":               "5 s",
		"kubernetes.operator.observer.progress-check.interval": "2 s",
		"kubernetes.operator.observer.rest-ready.delay":        "1 s",
		"kubernetes.operator.resource.cleanup.timeout":         "10 s",
		"kubernetes.operator.health.probe.enabled":             "false",
		"kubernetes.operator.watched.namespaces":               w.namespace,
		"kubernetes.operator.user.artifacts.base.dir":          dir,
		"kubernetes.operator.user.artifacts.allowed-schemes":   "https;file;local",
		"$internal.deployment.config-dir":                      conf,
		"restart-strategy.type":                                "fixed-delay",
		"restart-strategy.fixed-delay.attempts":                "1000",
		"restart-strategy.fixed-delay.delay":                   "1 s",
	})
	if err := errors.Join(os.Mkdir(plugins, 0o755), os.WriteFile(filepath.Join(conf, "flink-conf.yaml"), []byte(text), 0o644), os.RemoveAll(filepath.Join(conf, "config.yaml"))); err != nil {
		w.t.Fatal(err)
	}
	cmd := client.Dist.Java(w.t.Context(), conf, "org.apache.flink.kubernetes.operator.FlinkOperator")
	for i, arg := range cmd.Args {
		switch {
		case arg == "-cp":
			cmd.Args[i+1] = strings.TrimSpace(classpath)
		case strings.HasPrefix(arg, "-Dlog4j"):
			cmd.Args[i] = "-Dlog4j.configurationFile=file:" + filepath.Join(conf, "log4j-console.properties")
		}
	}
	cmd.Env = append(cmd.Env, "KUBECONFIG="+w.runtime.Kubeconfig, "OPERATOR_NAMESPACE="+w.namespace, "OPERATOR_NAME=flink-kubernetes-operator", "FLINK_PLUGINS_DIR="+plugins)
	path := filepath.Join(dir, "operator.log")
	log, err := os.Create(path)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	release, err := w.Adopt(cmd.Process.Pid)
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log has the cause
		close(ended)
	}()
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if err := release(); err != nil {
			w.t.Error(err)
		}
		log.Close()
		text, _ := os.ReadFile(path)
		if w.t.Failed() {
			lines := strings.Split(string(text), "\n")
			w.t.Log("last lines of the operator's log:\n" + strings.Join(lines[max(0, len(lines)-60):], "\n"))
		}
		if *logsFlag != "" {
			_ = os.WriteFile(filepath.Join(*logsFlag, "operator.log"), text, 0o644)
		}
	})
	eventually.Within(w.t, startTimeout, func() error {
		select {
		case <-ended:
			w.t.Fatal("got the operator's end, want it running")
		default:
		}
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), "controller started") {
			err = errors.New("got no started controller in the operator's log")
		}
		return err
	})
}

// flinkDeployment creates a FlinkDeployment: an application with the job, or a session.
func (w *world) flinkDeployment(name, mode string, job bool) {
	w.t.Helper()
	if err := w.createDeployment(name, mode, job); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) createDeployment(name, mode string, job bool) error {
	ports, err := w.runtime.Ports(w.namespace, name)
	if err != nil {
		return err
	}
	major, minor, _ := strings.Cut(w.version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	text := fmt.Sprintf(`
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata: {name: %s}
spec:
  image: flink:%s
  flinkVersion: v%s_%s
  mode: %s
  serviceAccount: %s
  flinkConfiguration: {rest.port: "%s", taskmanager.numberOfTaskSlots: "1"}
  jobManager: {resource: {memory: 1600m, cpu: 1}}
  taskManager: {resource: {memory: 1728m, cpu: 1}, replicas: 1}
`, name, w.version, major, minor, mode, image.ServiceAccount, ports.REST)
	if job {
		text += fmt.Sprintf("  job: {jarURI: \"local://%s\", entryClass: %s, parallelism: 1, upgradeMode: stateless}\n", w.runtime.JobPath(), image.JobClass)
	}
	return w.create(flinkDeployments, text)
}

// sessionJob submits the job through a FlinkSessionJob.
func (w *world) sessionJob(name, cluster string) {
	w.t.Helper()
	err := w.create(flinkSessionJobs, fmt.Sprintf(`
apiVersion: flink.apache.org/v1beta1
kind: FlinkSessionJob
metadata: {name: %s}
spec:
  deploymentName: %s
  job: {jarURI: "file://%s", entryClass: %s, parallelism: 1, upgradeMode: stateless}
`, name, cluster, w.runtime.JobPath(), image.JobClass))
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(r schema.GroupVersionResource, text string) error {
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		return err
	}
	_, err := w.dynamic.Resource(r).Namespace(w.namespace).Create(w.t.Context(), o, metav1.CreateOptions{})
	return err
}

func (w *world) patchDeployment(name, patch string) {
	w.t.Helper()
	_, err := w.dynamic.Resource(flinkDeployments).Namespace(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// deleteDeployment deletes a FlinkDeployment, and waits until it and its pods are gone.
func (w *world) deleteDeployment(name string) {
	w.t.Helper()
	if err := w.dynamic.Resource(flinkDeployments).Namespace(w.namespace).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.awaitGone(flinkDeployments, name)
	w.awaitNoPods(name)
}

func (w *world) awaitGone(r schema.GroupVersionResource, name string) {
	w.t.Helper()
	eventually.Within(w.t, operatorTimeout, func() error {
		if _, err := w.dynamic.Resource(r).Namespace(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{}); err == nil {
			return fmt.Errorf("got %s %s, want it deleted", r.Resource, name)
		}
		return nil
	})
}

func (w *world) awaitNoPods(clusterID string) {
	w.t.Helper()
	eventually.Within(w.t, operatorTimeout, func() error {
		if n := len(w.pods(clusterID, "jobmanager")) + len(w.pods(clusterID, "taskmanager")); n > 0 {
			return fmt.Errorf("cluster %s: got %d pods, want none", clusterID, n)
		}
		return nil
	})
}
