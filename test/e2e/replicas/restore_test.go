package replicas

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/config"
)

// TestRestoredCluster restores a backup of etcd under running replicas. All agree with the
// API server within 30 s, without a restart: in REST, in admission, and in the namespace
// label.
func TestRestoredCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for _, c := range []struct {
		rule   string
		frozen bool // the replicas are stopped until resourceVersions exceed those from before the restore
	}{
		{"resourceVersions go back", false},
		{"resourceVersions exceed those seen", true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			kept, deleted, created, later := w.Namespace(t), w.Namespace(t), w.Namespace(t), w.Namespace(t)
			w.MustKubectl(t, target(kept)+target(deleted), "apply", "-n", "default", "-f", "-")
			backup, err := w.SaveEtcd(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.write(t, kept, 200)
			w.MustKubectl(t, target(created), "apply", "-n", "default", "-f", "-")
			w.MustKubectl(t, "", "delete", "dt", deleted, "-n", "default")
			eventually.OK(t, func() error { return w.agrees(t, []string{kept, created}, []string{deleted, later}) })
			before := w.write(t, kept, 1)

			if c.frozen {
				w.signal(t, syscall.SIGSTOP)
			}
			if err := w.RestoreEtcd(t.Context(), backup); err != nil {
				t.Fatal(err)
			}
			if c.frozen {
				for w.write(t, kept, 200) <= before {
				}
				w.signal(t, syscall.SIGCONT)
			}
			began := time.Now()
			eventually.OK(t, func() error { return w.agrees(t, []string{kept, deleted}, []string{created, later}) })
			t.Logf("all agree %s after the restore", time.Since(began).Round(100*time.Millisecond))

			w.MustKubectl(t, target(later), "apply", "-n", "default", "-f", "-")
			w.MustKubectl(t, "", "delete", "dt", deleted, "-n", "default")
			eventually.OK(t, func() error { return w.agrees(t, []string{kept, later}, []string{created, deleted}) })
		})
	}
}

// target returns the YAML of a DeploymentTarget named after its namespace.
func target(namespace string) string {
	return fmt.Sprintf("apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: %[1]s}\nspec: {kubernetes: {namespace: %[1]s}}\n---\n", namespace)
}

// agrees compares LIST and GET of each replica, admission and the namespace label with the
// namespaces that have a target and those that have none.
func (w *world) agrees(t *testing.T, with, without []string) error {
	t.Helper()
	for i, r := range w.replicas {
		status, _, answer := call(t.Context(), http.MethodGet, r.REST+targets, "")
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		if err := json.Unmarshal([]byte(answer), &list); err != nil || status != http.StatusOK {
			return fmt.Errorf("replica %d: LIST: got %d %s", i, status, answer)
		}
		var names []string
		for _, o := range list.Items {
			names = append(names, o.Metadata.Name)
		}
		for _, name := range slices.Concat(with, without) {
			want := slices.Contains(with, name)
			status, _, _ := call(t.Context(), http.MethodGet, r.REST+targets+"/"+name, "")
			if slices.Contains(names, name) != want || (status == http.StatusOK) != want {
				return fmt.Errorf("replica %d: target %q: got LIST %v, GET %d, want it present: %t", i, name, names, status, want)
			}
		}
	}
	for _, name := range slices.Concat(with, without) {
		want := slices.Contains(with, name)
		namespace, err := w.client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if label := namespace.Labels[config.LabelRegistered]; (label == config.Registered) != want {
			return fmt.Errorf("namespace %s: got the label %s=%q, want it registered: %t", name, config.LabelRegistered, label, want)
		}
		for range 2 * len(w.replicas) { // each call goes to another replica
			out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "--dry-run=server", "-n", name, "-f", "-", "-o", "jsonpath={.metadata.labels.vvpNamespace}")
			if want && (err != nil || out != "default") || !want && !strings.Contains(out, "has no DeploymentTarget") {
				return fmt.Errorf("create a Flink pod in namespace %s: got %s %s, want it admitted: %t", name, fmt.Sprint(err), out, want)
			}
		}
	}
	return nil
}

// write creates n ConfigMaps, and returns the resourceVersion of the last one.
func (w *world) write(t *testing.T, namespace string, n int) (version int) {
	t.Helper()
	for range n {
		created, err := w.client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(created.ResourceVersion, &version); err != nil {
			t.Fatal(err)
		}
	}
	return version
}

// signal sends a signal to all replicas.
func (w *world) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	for _, r := range w.replicas {
		if err := syscall.Kill(r.PID(), s); err != nil {
			t.Fatal(err)
		}
	}
}
