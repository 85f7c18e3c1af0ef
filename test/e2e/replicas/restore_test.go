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

// TestRestoredCluster puts an older state of etcd under running replicas. All agree with
// the API server within 30 s, without a restart: over REST, in admission, and in the
// label of the namespaces.
func TestRestoredCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for _, c := range []struct {
		rule   string
		frozen bool // the replicas do not run before resourceVersions have passed those from before the restore
	}{
		{"versions go back", false},
		{"versions overtake those that a replica has seen", true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			kept, deleted, made, anew := w.Namespace(t), w.Namespace(t), w.Namespace(t), w.Namespace(t)
			w.MustKubectl(t, target(kept)+target(deleted), "apply", "-n", "default", "-f", "-")
			backup, err := w.SaveEtcd(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.write(t, kept, 200)
			w.MustKubectl(t, target(made), "apply", "-n", "default", "-f", "-")
			w.MustKubectl(t, "", "delete", "dt", deleted, "-n", "default")
			eventually.OK(t, 20*time.Second, func() error { return w.agrees(t, []string{kept, made}, []string{deleted, anew}) })
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
			eventually.OK(t, 30*time.Second, func() error { return w.agrees(t, []string{kept, deleted}, []string{made, anew}) })
			t.Logf("all agree %s after the restore", time.Since(began).Round(100*time.Millisecond))

			w.MustKubectl(t, target(anew), "apply", "-n", "default", "-f", "-")
			w.MustKubectl(t, "", "delete", "dt", deleted, "-n", "default")
			eventually.OK(t, 10*time.Second, func() error { return w.agrees(t, []string{kept, anew}, []string{made, deleted}) })
		})
	}
}

func target(namespace string) string {
	return fmt.Sprintf("apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: %[1]s}\nspec: {kubernetes: {namespace: %[1]s}}\n---\n", namespace)
}

// agrees compares, of namespaces with and without a target, the lists of all replicas,
// single targets, admission and the label.
func (w *world) agrees(t *testing.T, with, without []string) error {
	t.Helper()
	for i, r := range w.replicas {
		status, _, answer := call(t.Context(), http.MethodGet, r.REST+targets, "")
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		if err := json.Unmarshal([]byte(answer), &list); err != nil || status != http.StatusOK {
			return fmt.Errorf("replica %d lists: %d %s", i, status, answer)
		}
		var names []string
		for _, o := range list.Items {
			names = append(names, o.Metadata.Name)
		}
		for _, name := range slices.Concat(with, without) {
			want := slices.Contains(with, name)
			status, _, _ := call(t.Context(), http.MethodGet, r.REST+targets+"/"+name, "")
			if slices.Contains(names, name) != want || (status == http.StatusOK) != want {
				return fmt.Errorf("replica %d: %s has a target: %t; listed: %v; GET: %d", i, name, want, names, status)
			}
		}
	}
	for _, name := range slices.Concat(with, without) {
		want := slices.Contains(with, name)
		namespace, err := w.client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if mark := namespace.Labels[config.LabelRegistered]; (mark == config.Registered) != want {
			return fmt.Errorf("namespace %s has a target: %t; %s is %q", name, want, config.LabelRegistered, mark)
		}
		for range 2 * len(w.replicas) { // each call goes to the next
			out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "--dry-run=server", "-n", name, "-f", "-", "-o", "jsonpath={.metadata.labels.vvpNamespace}")
			if want && (err != nil || out != "default") || !want && (err == nil || !strings.Contains(out, "DeploymentTarget")) {
				return fmt.Errorf("namespace %s has a target: %t; a Flink pod: %s %s", name, want, fmt.Sprint(err), out)
			}
		}
	}
	return nil
}

// write makes n changes, and returns the resourceVersion of the last.
func (w *world) write(t *testing.T, namespace string, n int) (version int) {
	t.Helper()
	for range n {
		made, err := w.client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(made.ResourceVersion, &version); err != nil {
			t.Fatal(err)
		}
	}
	return version
}

func (w *world) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	for _, r := range w.replicas {
		if err := syscall.Kill(r.PID(), s); err != nil {
			t.Fatal(err)
		}
	}
}
