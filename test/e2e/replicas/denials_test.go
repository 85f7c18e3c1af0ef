package replicas

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/denials"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
)

const deniedDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  replicas: 0
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders, component: jobmanager, type: flink-native-kubernetes}}
    spec:
      containers:
      - name: flink-main-container
        image: "flink:2.2"
        env: [{name: DB_PASSWORD, value: hunter2}]
`

// TestDenialsOfReplicas: a denial by kubectl is listed by each replica and on its console, whose open
// pages update, by the command line and by the plugin, and is an event, with
// the name of the user. The log has the times, of less than two seconds on an idle machine. It survives
// the replacement of each replica.
func TestDenialsOfReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	if err := crds.InstallReports(t.Context(), w.Cluster, "openreports.io"); err != nil {
		t.Fatal(err)
	}
	namespace, deployed := w.Namespace(t), w.Namespace(t)
	w.MustKubectl(t, fmt.Sprintf("apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: prod}\nspec: {kubernetes: {namespace: %s}}", deployed), "apply", "-n", deployed, "-f", "-")
	w.MustKubectl(t, deniedDeployment, "create", "-n", deployed, "-f", "-")
	eventually.OK(t, func() error { // the kind of reports was installed after the leader had looked for it
		return w.hasReport(t, deployed, "pass placement orders")
	})
	w.MustKubectl(t, "", "create", "clusterrolebinding", "carol", "--clusterrole=cluster-admin", "--user=carol")
	eventually.OK(t, func() error {
		if out, err := w.RunKubectl(t, "", "auth", "can-i", "create", "deployments", "-n", namespace, "--as", "carol"); err != nil {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	})
	var changed []<-chan error // of open pages
	for _, r := range w.replicas {
		changed = append(changed, consoleChange(t, r.REST))
	}
	out, err := w.RunKubectl(t, deniedDeployment, "create", "-n", namespace, "--as", "carol", "--as-group", "developers", "-f", "-")
	start := time.Now()
	if err == nil || !strings.Contains(out, "has no DeploymentTarget") {
		t.Fatalf("got %v %s, want a denial", err, out)
	}
	for i, r := range w.replicas {
		eventually.OK(t, func() error { return hasDenial(t, r.REST, namespace, "carol", 1) })
		t.Logf("replica %d lists it after %s", i, time.Since(start).Round(time.Millisecond))
		status, page := browse(t, r.REST+"/console/denials?ns="+namespace)
		for _, want := range []string{"<strong>Deployment orders</strong>", "NoDeploymentTarget · carol", "developers", "kubectl apply -f -"} {
			if status != http.StatusOK || !strings.Contains(page, want) {
				t.Errorf("the console of replica %d: %d, no %q in %s", i, status, want, page)
			}
		}
		if _, page := browse(t, r.REST+"/"); !strings.Contains(page, "NoDeploymentTarget · carol") {
			t.Errorf("the overview of replica %d: %s", i, page)
		}
		if err := <-changed[i]; err != nil {
			t.Errorf("open pages of replica %d do not update: %v", i, err)
		}
		t.Logf("open pages of replica %d have updated after %s", i, time.Since(start).Round(time.Millisecond))
		if status, page := browse(t, r.REST+"/console/workloads/"+deployed+"/Deployment/orders"); status != http.StatusOK || !strings.Contains(page, "/console/targets/"+deployed+"/prod") {
			t.Errorf("the page of a workload of replica %d: %d %s", i, status, page)
		}
	}
	eventually.OK(t, func() error {
		events, err := w.client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Namespace,reason=NoDeploymentTarget"})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Items {
			if strings.HasPrefix(e.Message, "CREATE of Deployment orders by carol denied: ") {
				return nil
			}
		}
		return fmt.Errorf("events: %v", events.Items)
	})
	eventually.OK(t, func() error { return w.hasReport(t, namespace, "fail NoDeploymentTarget orders carol") })
	t.Logf("it is an event, and in the report, after %s", time.Since(start).Round(time.Millisecond))

	plugin := filepath.Join(t.TempDir(), "kubectl-drey")
	if err := os.Symlink(w.program, plugin); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"REST":   {w.program, "denials", "--server", w.url(), "--since", "1h", "-o", "wide"},
		"plugin": {plugin, "denials", "-n", namespace, "-o", "wide"},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Deployment/orders   carol") || !strings.Contains(string(out), "kubectl apply -f -") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	forbidden := exec.CommandContext(t.Context(), plugin, "denials", "-n", namespace)
	w.MustKubectl(t, "", "create", "serviceaccount", "stranger", "-n", namespace)
	forbidden.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfigOf(t, namespace, "stranger"))
	if out, err := forbidden.CombinedOutput(); err == nil || !strings.Contains(string(out), "kubectl get events -n "+namespace) {
		t.Errorf("a user without the right: %v\n%s", err, out)
	}

	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=warn")
	eventually.OK(t, func() error { // modes follow by a watch
		out, err := w.RunKubectl(t, deniedDeployment, "create", "-n", namespace, "-f", "-")
		if err != nil {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	})
	for _, r := range w.replicas {
		eventually.OK(t, func() error { return hasDenial(t, r.REST, namespace, "admin", 1) })
	}
	w.MustKubectl(t, "", "delete", "deployment", "orders", "-n", deployed)
	eventually.OK(t, func() error {
		if out, err := w.RunKubectl(t, "", "get", "reports.openreports.io", "drey", "-n", deployed); err == nil || !strings.Contains(out, "NotFound") {
			return fmt.Errorf("the report is there after the last workload: %s", out)
		}
		return nil
	})
	t.Run("restart", func(t *testing.T) {
		for _, r := range w.replicas {
			if err := r.Stop(); err != nil {
				t.Fatal(err)
			}
			w.remove(r)
			w.start(t)
		}
		w.await(t, 2)
		for _, r := range w.replicas {
			eventually.OK(t, func() error { return hasDenial(t, r.REST, namespace, "carol", 1) })
		}
	})
	stored := w.MustKubectl(t, "", "get", "configmap", "drey-denials", "-n", "drey-system", "-o", "jsonpath={.binaryData.denials\\.json\\.gz}")
	var text []byte
	if err := json.Unmarshal([]byte(`"`+stored+`"`), &text); err != nil {
		t.Fatal(err)
	}
	document, err := denials.Decode(text)
	if plain := fmt.Sprint(document); err != nil || strings.Contains(plain, "hunter2") || strings.Contains(plain, "PASSWORD") || !strings.Contains(plain, "carol") {
		t.Errorf("stored: %v %s", err, plain)
	}
}

// hasDenial returns an error unless a server lists a denial of a user in a namespace with a
// minimum count.
func hasDenial(t *testing.T, url, namespace, user string, least int) error {
	t.Helper()
	status, _, text := call(t.Context(), "GET", url+"/drey/v1/denials?namespace="+namespace, "")
	var list struct{ Items []denials.Denial }
	if err := json.Unmarshal([]byte(text), &list); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	for _, d := range list.Items {
		if strings.HasSuffix(d.User, user) && d.Count >= least && d.Remedy != "" {
			return nil
		}
	}
	return fmt.Errorf("no denial of %s: %s", user, text)
}

// browse returns the status and the HTML of a page of the console.
func browse(t *testing.T, url string) (int, string) {
	t.Helper()
	response := openPage(t, url, "text/html")
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, html.UnescapeString(string(text))
}

func openPage(t *testing.T, url, accept string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// consoleChange follows the denials as an open page of a console does. The channel gets nil at the
// first change, or an error if three heartbeats, of 15 s, come before.
func consoleChange(t *testing.T, url string) <-chan error {
	t.Helper()
	response := openPage(t, url+"/console/events?topics=denials", "text/event-stream")
	lines := bufio.NewReader(response.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "retry: 2000\n" { // it has subscribed
		t.Fatalf("%q, %v", line, err)
	}
	first := make(chan error, 1)
	go func() {
		defer response.Body.Close()
		for heartbeats := 0; ; {
			line, err := lines.ReadString('\n')
			if strings.HasPrefix(line, ":") {
				heartbeats++
			}
			switch {
			case err != nil || line == "event: change\n":
				first <- err
				return
			case heartbeats == 3:
				first <- errors.New("heartbeats only")
				return
			}
		}
	}()
	return first
}

// hasReport returns an error unless the report of a namespace has a result with a rule, an object
// and a user.
func (w *world) hasReport(t *testing.T, namespace, want string) error {
	t.Helper()
	out, err := w.RunKubectl(t, "", "get", "reports.openreports.io", "drey", "-n", namespace, "-o",
		`jsonpath={range .results[*]}{.result} {.rule} {.resources[0].name} {.properties.user}{"\n"}{end}`)
	if err != nil || !strings.Contains(out, want) {
		return fmt.Errorf("report: %w %s", err, out)
	}
	return nil
}

// kubeconfigOf returns a kubeconfig of a ServiceAccount.
func (w *world) kubeconfigOf(t *testing.T, namespace, account string) string {
	t.Helper()
	token := strings.TrimSpace(w.MustKubectl(t, "", "create", "token", account, "-n", namespace))
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text, err := os.ReadFile(w.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.MustKubectl(t, "", "config", "set-credentials", "stranger", "--token", token, "--kubeconfig", path)
	w.MustKubectl(t, "", "config", "set-context", "--current", "--user", "stranger", "--kubeconfig", path)
	return path
}
