// Package clients plays how clients of Ververica Platform work against drey: methods, paths,
// headers, bodies, their order and polling. [TestGenerated] generates clients from drey's own
// documents and runs them.
package clients

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/test/framework/balancer"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

func TestMain(m *testing.M) {
	// Each request opens a connection, which the balancer sends to another replica.
	http.DefaultTransport.(*http.Transport).DisableKeepAlives = true
	os.Exit(m.Run())
}

// setting is a way to run drey.
type setting struct {
	url      string // base URL of the REST API
	store    string // embedded or kubernetes
	cluster  bool
	replicas int
}

// TestClients plays the flow of each client in each setting.
func TestClients(t *testing.T) {
	flows := map[string]func(api){
		"command line in Go":                    goCommandLine,
		"operator of Ververica Platform":        operator,
		"operator for GitOps":                   gitOps,
		"command line in Python":                pythonCommandLine,
		"extension of notebooks":                notebook,
		"second command line in Python":         yamlCommandLine,
		"Terraform provider":                    terraform,
		"generated SDKs":                        sdk,
		"shell scripts of a playground":         playground,
		"set-up and client in Java":             setUp,
		"operator that deletes what is stopped": deletion,
	}
	everySetting(t, func(t *testing.T, s setting) {
		n := 0
		for name, flow := range flows {
			n++
			a := api{setting: s, namespace: fmt.Sprintf("clients-%s-%d-%d", s.store, s.replicas, n)}
			if s.cluster {
				a.namespace += "-c"
			}
			t.Run(name, func(t *testing.T) {
				a.T = t
				a.call(http.StatusCreated, http.MethodPost, "/namespaces/v1/namespaces", `{"name":"namespaces/`+a.namespace+`"}`)
				flow(a)
			})
		}
	})
}

// everySetting calls test with both stores, with and without a cluster, and with one and with
// three replicas.
func everySetting(t *testing.T, test func(*testing.T, setting)) {
	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("embedded store", func(t *testing.T) {
		d := start(t, drey.Options{Program: program, DataDir: t.TempDir()})
		test(t, setting{url: d.REST, store: "embedded", replicas: 1})
	})
	c := cluster.Start(t)
	client := kubernetes.NewForConfigOrDie(c.Config())
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "drey-system"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Run("embedded store with a cluster", func(t *testing.T) {
		d := start(t, drey.Options{Program: program, DataDir: t.TempDir(), Cluster: c})
		test(t, setting{url: d.REST, store: "embedded", cluster: true, replicas: 1})
	})
	b, err := balancer.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	add := func(t *testing.T) { // nothing admits pods here, so that each may install webhooks with its certificate
		d := start(t, drey.Options{
			Program: program, DataDir: filepath.Join(t.TempDir(), "data"), Cluster: c,
			Args: []string{"--store", "kubernetes", "--create-namespaces"},
		})
		u, err := url.Parse(d.REST)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(balancer.Backend{Address: u.Host, ReadyURL: d.Probes + "/readyz"})
	}
	await := func(t *testing.T, replicas int) {
		t.Helper()
		eventually.OK(t, func() error {
			if n := b.ReadyBackends(); n != replicas {
				return fmt.Errorf("got %d replicas, want %d", n, replicas)
			}
			return nil
		})
	}
	t.Run("Kubernetes store", func(t *testing.T) {
		add(t)
		await(t, 1)
		t.Run("1 replica", func(t *testing.T) {
			test(t, setting{url: "http://" + b.Address(), store: "kubernetes", cluster: true, replicas: 1})
		})
		add(t)
		add(t)
		await(t, 3)
		t.Run("3 replicas", func(t *testing.T) {
			test(t, setting{url: "http://" + b.Address(), store: "kubernetes", cluster: true, replicas: 3})
		})
	})
}

func start(t *testing.T, o drey.Options) *drey.Drey {
	t.Helper()
	d, err := drey.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	d.LogOnFailure(t)
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// zeros are the fields of metadata that clients in Go send, and that the server sets.
const zeros = `"createdAt":"0001-01-01T00:00:00Z","modifiedAt":"0001-01-01T00:00:00Z","resourceVersion":0`

// goCommandLine creates, reads, updates and deletes a target, and reads the usage.
func goCommandLine(a api) {
	a.call(200, "GET", "/api/v1/status", "")
	targets := a.in("deployment-targets")
	if list := a.call(200, "GET", targets, ""); list.body["kind"] != "DeploymentTargetList" || list.body["items"] == nil {
		a.Fatalf("got %v", list.body)
	}
	const body = `{"kind":"DeploymentTarget","apiVersion":"v1","metadata":{"name":"My_Target",` + zeros + `},"spec":{"kubernetes":{"namespace":"flink-go"}},"status":{}}`
	made := a.call(201, "POST", targets, body)
	a.want(made, "metadata.resourceVersion", 1.0)
	a.call(409, "POST", targets, body)
	got := a.call(200, "GET", targets+"/My_Target", "")
	a.want(got, "metadata.id", made.at("metadata.id"))
	a.want(a.call(200, "PUT", targets+"/My_Target", `{"metadata":{"name":"My_Target","labels":{"team":"nuts"}},"spec":{"kubernetes":{"namespace":"flink-go"}}}`), "metadata.labels.team", "nuts")
	a.want(a.call(200, "DELETE", targets+"/My_Target", ""), "metadata.name", "My_Target")
	a.call(404, "GET", targets+"/My_Target", "")
	response, err := http.Get(a.url + "/api/v1/status/resourceusage?from=2026-01-01")
	if err != nil {
		a.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/csv") {
		a.Errorf("usage: got %s %s", response.Status, response.Header.Get("Content-Type"))
	}
}

// operator reconciles a platform namespace, a target and a Deployment, and reads events.
func operator(a api) {
	bindings := `{"name":"namespaces/` + a.namespace + `","roleBindings":[{"role":"owner","members":["system:authenticated"]}]}`
	for range 2 { // on every reconcile
		put := a.call(200, "PUT", "/namespaces/v1/namespaces/"+a.namespace, bindings)
		if list, _ := put.at("namespace.roleBindings").([]any); len(list) != 1 {
			a.Fatalf("got %v, want the role binding", put.body)
		}
	}
	target := `{"kind":"DeploymentTarget","apiVersion":"v1","metadata":{"name":"vvp","namespace":"` + a.namespace + `",` + zeros + `},"spec":{"kubernetes":{"namespace":"flink-operator"}}}`
	a.call(201, "PUT", a.in("deployment-targets/vvp"), target)
	for range 2 {
		a.want(a.call(200, "PUT", a.in("deployment-targets/vvp"), target), "metadata.resourceVersion", 1.0)
	}
	made := a.call(201, "POST", a.in("deployments"), `{"kind":"Deployment","apiVersion":"v1","metadata":{"name":"orders","annotations":{"drey/managed":true},`+zeros+`},"spec":{"state":"RUNNING","deploymentTargetName":"vvp","template":{"spec":{"artifact":{"flinkVersion":1.20}}}}}`)
	if state, _ := made.at("status.state").(string); state == "" {
		a.Fatalf("got no status.state in %v", made.body)
	}
	a.want(made, "spec.template.spec.artifact.flinkVersion", "1.20")
	id, _ := made.at("metadata.id").(string)
	if a.cluster {
		a.want(a.call(200, "GET", a.in("deployments/"+id), ""), "status.state", "TRANSITIONING") // nothing runs it
	} else {
		running := a.call(200, "GET", a.in("deployments/"+id), "")
		a.want(running, "status.state", "RUNNING")
		if _, ok := running.at("status.running.conditions").([]any); !ok {
			a.Fatalf("got %v, want conditions", running.body)
		}
	}
	a.call(200, "PATCH", a.in("deployments/orders"), `{"metadata":{"labels":{"a":"b"},"resourceVersion":77}}`) // the version of its cache
	if events := a.call(200, "GET", a.in("events?deploymentId="+id), ""); a.replicas == 1 && len(events.items("orders")) < 2 {
		a.Errorf("got the events %v, want the creation and the change", events.body)
	}
}

// gitOps applies manifests that name another namespace, and waits for a SessionCluster.
func gitOps(a api) {
	target := a.call(201, "PUT", a.in("deployment-targets/gitops"), `{"metadata":{"name":"gitops","namespace":"default"},"spec":{"kubernetes":{"namespace":"flink-gitops"}}}`)
	a.want(target, "metadata.namespace", a.namespace)
	if warning := target.header.Get("Warning"); !strings.Contains(warning, "metadata.namespace") {
		a.Errorf("got the Warning %q", warning)
	}
	cluster := a.in("sessionclusters/shared")
	a.call(201, "POST", a.in("sessionclusters"), `{"metadata":{"name":"shared"},"spec":{"deploymentTargetName":"gitops","state":"STOPPED","flinkVersion":1.20}}`)
	a.await(cluster, "status.state", "STOPPED")
	a.want(a.call(200, "PATCH", cluster, `{"spec":{"numberOfTaskManagers":2}}`), "spec.flinkVersion", "1.20")
	a.call(409, "DELETE", a.in("deployment-targets/gitops"), "")
	a.call(200, "DELETE", cluster, "")
	a.call(200, "DELETE", a.in("deployment-targets/gitops"), "")
}

// pythonCommandLine checks the version, and reads Deployments with their custom resources only.
func pythonCommandLine(a api) {
	a.want(a.call(200, "GET", "/api/v1/status/system-info", ""), "status.revisionInformation.buildVersion", "2.6.1")
	const name = "My Deployment Name"
	made := a.call(201, "POST", a.in("deployments"), `{"metadata":{"name":"`+name+`"},"spec":{"state":"CANCELLED"}}`)
	a.want(made, "metadata.displayName", name)
	eventually.OK(a, func() error { // replicas follow each other by watches
		if n := len(a.call(200, "GET", a.in("deployments/with-cr"), "").items("")); n != 1 && a.replicas == 1 {
			a.Fatalf("the list has %d Deployments, want one", n)
		} else if n != 1 {
			return fmt.Errorf("the list has %d Deployments, want one", n)
		}
		return nil
	})
	got := a.call(200, "GET", a.in("deployments/with-cr/"+url.PathEscape(name)), "")
	a.want(got, "deployment.status.state", "CANCELLED")
	id, _ := got.at("deployment.metadata.id").(string)
	a.want(a.call(200, "PATCH", a.in("deployments/"+id), `{"spec":{"state":"SUSPENDED"}}`), "status.state", "SUSPENDED")
	a.call(200, "GET", a.in("savepoints?deploymentId="+id), "")
	a.call(501, "POST", a.in("savepoints"), `{"metadata":{"deploymentId":"`+id+`"},"spec":{}}`)
	a.call(200, "DELETE", a.in("deployments/"+id), "")
}

// notebook takes the target of the defaults.
func notebook(a api) {
	target := a.call(201, "POST", a.in("deployment-targets"), `{"metadata":{"name":"notebook"},"spec":{"kubernetes":{"namespace":"flink-notebook"}}}`)
	id, _ := target.at("metadata.id").(string)
	a.call(200, "GET", a.in("deployment-defaults"), "")
	a.call(200, "PATCH", a.in("deployment-defaults"), `{"spec":{"deploymentTargetId":"`+id+`"}}`)
	a.await(a.in("deployment-defaults"), "spec.deploymentTargetId", id)
	made := a.call(201, "POST", a.in("deployments"), `{"metadata":{"name":"from-notebook"},"spec":{"state":"RUNNING"}}`)
	a.want(made, "spec.deploymentTargetId", id)
	deployment, _ := made.at("metadata.id").(string)
	if jobs := a.call(200, "GET", a.in("jobs?deploymentId="+deployment), ""); len(jobs.items("")) != 0 {
		a.Errorf("got %v, want no jobs", jobs.body)
	}
	a.call(200, "GET", a.in("secret-values"), "")
	a.call(501, "POST", a.in("secret-values"), `{"metadata":{"name":"s"},"spec":{"kind":"GENERIC","value":"eA=="}}`)
}

// yamlCommandLine sends YAML with booleans and numbers where the API has text.
func yamlCommandLine(a api) {
	target := a.send(201, "POST", a.in("deployment-targets"), "metadata:\n  name: no\n  labels:\n    buildIn: true\n    on: 1.20\nspec:\n  kubernetes:\n    namespace: flink-yaml\n", "application/yaml", "*/*")
	a.want(target, "metadata.name", "no")
	a.want(target, "metadata.labels.buildIn", "true")
	a.want(target, "metadata.labels.on", "1.20")
	a.call(201, "POST", a.in("deployment-targets"), `{"metadata":{"name":"json","labels":{"buildIn":true}},"spec":{"kubernetes":{"namespace":"flink-yaml"}}}`)
	made := a.send(201, "POST", a.in("deployments"), "metadata:\n  name: 123\nspec:\n  state: CANCELLED\n  deploymentTargetName: no\n  template:\n    spec:\n      artifact:\n        flinkVersion: 1.20\n", "application/yaml", "application/json")
	a.want(made, "spec.template.spec.artifact.flinkVersion", "1.20")
	bad := a.send(400, "POST", a.in("deployments"), "metadata:\n  name: [x\n", "application/yaml", "*/*")
	if message, _ := bad.body["message"].(string); !strings.Contains(message, "line") {
		a.Errorf("got %q, want the line", message)
	}
	a.call(200, "DELETE", a.in("deployments/123"), "")
}

// terraform upserts, reads back and destroys.
func terraform(a api) {
	path := a.in("deployment-targets/tf")
	const body = `{"kind":"DeploymentTarget","apiVersion":"v1","metadata":{"name":"tf","labels":{},"annotations":{}},"spec":{"kubernetes":{"namespace":"flink-tf"}}}`
	a.call(201, "PUT", path, body)
	a.want(a.call(200, "GET", path, ""), "spec.kubernetes.namespace", "flink-tf")
	a.want(a.call(200, "PUT", path, body), "metadata.resourceVersion", 1.0)
	a.want(a.call(409, "PUT", path, strings.Replace(body, "flink-tf", "other", 1)), "reason", "ImmutableSpec")
	a.call(200, "DELETE", path, "")
	a.call(404, "DELETE", path, "")
	a.call(405, "PATCH", path, `{}`)
}

// sdk reads the documents that generators read.
func sdk(a api) {
	for _, path := range []string{"/api/swagger.json", "/swagger.json"} {
		a.want(a.call(200, "GET", path, ""), "swagger", "2.0")
	}
	a.want(a.call(200, "GET", "/openapi.json", ""), "openapi", "3.0.3")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(a.url + "/swagger")
	if err != nil {
		a.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		a.Errorf("/swagger: got %s, want 200 without a redirect", response.Status)
	}
	a.call(404, "GET", a.in("deployments/missing"), "")
	a.call(404, "GET", "/api/v1/namespaces/nowhere/deployments", "")
	a.call(404, "GET", "/sql/v1beta1/namespaces/default/sqlscripts", "")
	for _, kind := range []string{"deployments", "sessionclusters", "deployment-targets", "jobs", "events"} {
		if list := a.call(200, "GET", a.in(kind), ""); list.body["items"] == nil || list.body["metadata"] == nil {
			a.Errorf("%s: got %v", kind, list.body)
		}
	}
}

// playground posts YAML, and polls with jq.
func playground(a api) {
	a.call(200, "GET", "/api/v1/status", "")
	a.send(201, "POST", a.in("deployment-targets"), "kind: DeploymentTarget\napiVersion: v1\nmetadata:\n  name: playground\nspec:\n  kubernetes:\n    namespace: flink-playground\n", "application/yaml", "*/*")
	a.send(201, "POST", a.in("sessionclusters"), "metadata:\n  name: sql\nspec:\n  state: RUNNING\n  deploymentTargetName: playground\n", "application/yaml", "*/*")
	a.send(201, "POST", a.in("deployments"), "metadata:\n  name: top-speed\nspec:\n  state: RUNNING\n  sessionClusterName: sql\n", "application/yaml", "*/*")
	want := "RUNNING"
	if a.cluster {
		want = "TRANSITIONING" // nothing runs it
	}
	a.await(a.in("sessionclusters/sql"), "status.state", want)
	if got := a.call(404, "GET", a.in("sessionclusters/other"), ""); got.at("status.state") != nil { // jq .status.state
		a.Errorf("got %v", got.body)
	}
}

// setUp creates a platform namespace and a token, and works with that.
func setUp(a api) {
	if a.store == "kubernetes" {
		got := a.call(409, "POST", "/apitokens/v1/namespaces/"+a.namespace+"/apitokens", `{"name":"ci","role":"editor"}`)
		if message, _ := got.body["message"].(string); !strings.Contains(message, "ServiceAccount") {
			a.Errorf("got %q, want the alternative", message)
		}
	} else {
		made := a.call(200, "POST", "/apitokens/v1/namespaces/"+a.namespace+"/apitokens", `{"name":"namespaces/`+a.namespace+`/apitokens/ci","role":"editor"}`)
		if secret, _ := made.at("apiToken.secret").(string); secret == "" {
			a.Errorf("got %v, want a secret", made.body)
		}
		a.call(409, "POST", "/apitokens/v1/namespaces/"+a.namespace+"/apitokens", `{"name":"ci","role":"editor"}`)
	}
	a.call(409, "POST", "/namespaces/v1/namespaces", `{"name":"namespaces/`+a.namespace+`"}`)
	a.call(404, "PUT", "/namespaces/v1/namespaces/never-made", `{"name":"namespaces/never-made"}`)
	a.call(201, "PUT", a.in("deployment-targets/product"), `{"metadata":{"name":"product"},"spec":{"kubernetes":{"namespace":"flink-product"}}}`)
	a.call(201, "PUT", a.in("deployments/monitor"), `{"metadata":{"name":"monitor"},"spec":{"state":"CANCELLED","deploymentTargetName":"product"}}`)
	a.await(a.in("deployments/monitor"), "spec.deploymentTargetName", "product")
}

// deletion stops a Deployment, waits until it is stopped, and deletes it and its target.
func deletion(a api) {
	a.call(201, "POST", a.in("deployment-targets"), `{"metadata":{"name":"vvp"},"spec":{"kubernetes":{"namespace":"flink-deletion"}}}`)
	a.call(201, "POST", a.in("deployments"), `{"metadata":{"name":"orders"},"spec":{"state":"RUNNING","deploymentTargetName":"vvp"}}`)
	began := time.Now()
	a.call(200, "PATCH", a.in("deployments/orders"), `{"spec":{"state":"CANCELLED"}}`)
	a.await(a.in("deployments/orders"), "status.state", "CANCELLED")
	a.call(200, "DELETE", a.in("deployments/orders"), "")
	a.call(200, "DELETE", a.in("deployment-targets/vvp"), "")
	a.Logf("took %s", time.Since(began))
}
