// Package e2e holds the tests of drey as a whole: the real program beside a
// real control plane, seen through the API server and through REST.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook/flink"
)

// world is a control plane with drey on it.
type world struct {
	*cluster.Cluster
	drey *drey.Drey
	api  dynamic.Interface
}

// shared is the world that most tests use; each has namespaces of its own.
var shared = sync.OnceValues(func() (*world, error) {
	dir, err := os.MkdirTemp("", "drey-audit-")
	if err != nil {
		return nil, err
	}
	if audit, err = installed.NewAuditLog(dir); err != nil {
		return nil, err
	}
	c, err := cluster.New(context.Background(), cluster.Options{APIServerArgs: audit.APIServerArgs()})
	if err != nil {
		return nil, err
	}
	if err := fixtures.InstallCRDs(context.Background(), c); err != nil {
		return nil, err
	}
	started, err = newWorld(context.Background(), c)
	return started, err
})

var (
	started *world              // the shared one, once a test has asked for it
	audit   *installed.AuditLog // of its drey, which has the rights that its manifests give
)

func newWorld(ctx context.Context, c *cluster.Cluster) (*world, error) {
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		return nil, err
	}
	d, err := newDrey(ctx, c)
	if err != nil {
		return nil, err
	}
	return &world{c, d, api}, nil
}

// newDrey runs drey on a cluster as its manifests do, with the registry in a file.
func newDrey(ctx context.Context, c *cluster.Cluster) (*drey.Drey, error) {
	b := bundle.Defaults()
	b.Store, b.Replicas = bundle.Embedded, 1
	return installed.Start(ctx, drey.Options{Cluster: c, DataDir: c.Dir(), Args: []string{"--platform-namespace", "team-a", "--platform-namespace", "team-b"}}, b)
}

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue { // most of them wait for controllers, and not for a processor
		_ = f.Value.Set("6")
	}
	code := m.Run()
	if started != nil {
		if err := errors.Join(started.drey.Stop(), audit.Forbidden(), audit.Remove(), started.Stop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// inWorld returns the shared world. A test that fails ends with what drey said.
func inWorld(t *testing.T) *world {
	t.Helper()
	w, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	return w
}

// ownWorld is a world with a control plane of its own, for a test that stops drey.
func ownWorld(t testing.TB) *world {
	t.Helper()
	c := cluster.Start(t)
	if err := fixtures.InstallCRDs(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// register gives a Kubernetes namespace a target, called after it.
func (w *world) register(t testing.TB, platformNamespace, namespace string) {
	t.Helper()
	if err := w.drey.Register(t.Context(), platformNamespace, namespace, namespace); err != nil {
		t.Fatal(err)
	}
}

// resources of the kinds that the tests use.
var resources = map[string]schema.GroupVersionResource{
	"Namespace":             {Version: "v1", Resource: "namespaces"},
	"Pod":                   {Version: "v1", Resource: "pods"},
	"Service":               {Version: "v1", Resource: "services"},
	"ConfigMap":             {Version: "v1", Resource: "configmaps"},
	"Event":                 {Version: "v1", Resource: "events"},
	"ReplicationController": {Version: "v1", Resource: "replicationcontrollers"},
	"DaemonSet":             {Group: "apps", Version: "v1", Resource: "daemonsets"},
	"Rollout":               {Group: fixtures.Rollout.Group, Version: fixtures.Rollout.Version, Resource: fixtures.Rollout.Resource},
	"Deployment":            {Group: "apps", Version: "v1", Resource: "deployments"},
	"ReplicaSet":            {Group: "apps", Version: "v1", Resource: "replicasets"},
	"StatefulSet":           {Group: "apps", Version: "v1", Resource: "statefulsets"},
	"ControllerRevision":    {Group: "apps", Version: "v1", Resource: "controllerrevisions"},
	"Job":                   {Group: "batch", Version: "v1", Resource: "jobs"},
	"CronJob":               {Group: "batch", Version: "v1", Resource: "cronjobs"},
}

func init() {
	for _, r := range flink.CustomResources {
		resources[r.Kind] = schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource}
	}
}

// create makes an object as a client with no opinions would.
func (w *world) create(ctx context.Context, namespace string, object map[string]any, dryRun ...string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{Object: object}
	return w.api.Resource(resources[o.GetKind()]).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{DryRun: dryRun})
}

func (w *world) list(t testing.TB, kind, namespace string) []unstructured.Unstructured {
	t.Helper()
	l, err := w.api.Resource(resources[kind]).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l.Items
}

// as is the API as somebody else sees it.
func (w *world) as(t testing.TB, user string) dynamic.Interface {
	t.Helper()
	config := rest.CopyConfig(w.Config())
	config.Impersonate.UserName = user
	if user == "chief" {
		config.Impersonate.Groups = []string{"system:masters"}
	}
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// clone copies an object, as far as JSON goes.
func clone(t testing.TB, object map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var copied map[string]any
	if err := json.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	return copied
}

// shell runs a command line that drey printed, the way a person would who
// pastes it. kubectl is the one of the cluster.
func (w *world) shell(t testing.TB, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `kubectl() { "$KUBECTL" "$@"; }; `+line)
	cmd.Env = w.KubectlCommand(t.Context()).Env
	cmd.Env = append(cmd.Env, "KUBECTL="+w.Kubectl())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, &out)
	}
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
