// Package e2e tests drey as a whole: the program as a process next to a real control
// plane, through the API server and REST.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
	"drey.dev/drey/webhook/flink"
)

// world is a control plane with drey on it.
type world struct {
	*cluster.Cluster
	drey *drey.Drey
	api  dynamic.Interface // with the rights of a cluster administrator
	data string            // directory of the registry

	contact string // of the installation, for denials
}

// newWorld starts drey as its manifests do, with the registry in a file in data.
func newWorld(ctx context.Context, c *cluster.Cluster, data string) (*world, error) {
	api, err := adminClient(c)
	if err != nil {
		return nil, err
	}
	w := &world{Cluster: c, api: api, data: data}
	return w, w.startDrey(ctx)
}

// adminClient returns a client with the rights of a cluster administrator, which does not log
// warnings.
func adminClient(c *cluster.Cluster) (dynamic.Interface, error) {
	config := rest.CopyConfig(c.Config())
	config.WarningHandler = rest.NoWarnings{}
	return dynamic.NewForConfig(config)
}

// startDrey starts drey on the data directory, which a stopped drey may have left.
func (w *world) startDrey(ctx context.Context) error {
	program, err := buildDrey()
	if err != nil {
		return err
	}
	w.drey, err = installed.Start(ctx, drey.Options{
		Program: program, Cluster: w.Cluster, DataDir: w.data, Args: []string{"--platform-namespace", "team-a", "--platform-namespace", "team-b"},
	}, w.bundle())
	return err
}

// bundle returns the options of the installation.
func (w *world) bundle() bundle.Options {
	o := bundle.Defaults()
	o.Store, o.Replicas, o.Contact = bundle.Embedded, 1, w.contact
	return o
}

// webhookURL returns the URL that the API server calls for a webhook.
func (w *world) webhookURL(t testing.TB, name string) string {
	t.Helper()
	url, err := drey.WebhookURL(t.Context(), w.Cluster, name)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// sharedWorld returns the world that most tests share. Each test has namespaces of its
// own there. The log of a failed test ends with the log of drey.
func sharedWorld(t *testing.T) *world {
	t.Helper()
	w, err := startShared()
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	return w
}

var (
	shared *world              // nil until startShared has returned
	audit  *installed.AuditLog // of the requests of the shared drey, which has the rights of its manifests
)

var startShared = sync.OnceValues(func() (*world, error) {
	dir, err := temporary()
	if err != nil {
		return nil, err
	}
	if audit, err = installed.NewAuditLog(dir); err != nil {
		return nil, err
	}
	c, err := cluster.New(context.Background(), cluster.Options{APIServerArgs: audit.APIServerArgs(), KeepNamespaces: true})
	if err != nil {
		return nil, err
	}
	if err := crds.Install(context.Background(), c); err != nil {
		return nil, err
	}
	shared, err = newWorld(context.Background(), c, c.Dir())
	return shared, err
})

// ownWorld returns a world for one test, which may stop drey. Its registry is empty.
func ownWorld(t testing.TB) *world {
	t.Helper()
	w, err := newWorld(t.Context(), ownCluster(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.stopAtEnd(t)
	return w
}

// stopAtEnd stops drey when the test ends, unless the test has killed it.
func (w *world) stopAtEnd(t testing.TB) {
	w.drey.LogOnFailure(t)
	t.Cleanup(func() {
		if w.drey == nil {
			return
		}
		if err := w.drey.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// killDrey ends drey as a crash does.
func (w *world) killDrey(t testing.TB) {
	t.Helper()
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	w.drey = nil
}

// restartDrey starts drey again after killDrey.
func (w *world) restartDrey(t testing.TB) {
	t.Helper()
	if err := w.startDrey(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
}

// idle are control planes that no test uses at the moment.
var idle struct {
	sync.Mutex
	clusters []*cluster.Cluster
}

// inUse limits the control planes of [ownCluster]: a start costs ten seconds of a processor,
// and each takes half a gigabyte of memory.
var inUse = make(chan struct{}, 3)

// ownCluster returns a control plane for one test at a time. It has the custom resources
// of Flink, and no webhook or policy of drey. Namespaces of earlier tests may still be
// terminating there.
func ownCluster(t testing.TB) *cluster.Cluster {
	t.Helper()
	inUse <- struct{}{}
	t.Cleanup(func() { <-inUse })
	idle.Lock()
	var c *cluster.Cluster
	if n := len(idle.clusters); n > 0 {
		c, idle.clusters = idle.clusters[n-1], idle.clusters[:n-1]
	}
	idle.Unlock()
	if c == nil {
		t.Log("starts a control plane")
		var err error
		if c, err = cluster.New(t.Context(), cluster.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := crds.Install(t.Context(), c); err != nil {
			t.Fatal(errors.Join(err, c.Stop()))
		}
	}
	t.Cleanup(func() {
		if t.Failed() { // other tests must not fail for its leftovers
			t.Log(c.Logs())
			_ = c.Stop()
			return
		}
		if err := uninstall(c); err != nil {
			t.Error(errors.Join(err, c.Stop()))
			return
		}
		idle.Lock()
		defer idle.Unlock()
		idle.clusters = append(idle.clusters, c)
	})
	return c
}

// uninstall removes the webhooks and policies of drey, and returns once the API server
// has ceased to apply them.
func uninstall(c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), eventually.Timeout)
	defer cancel()
	api, err := adminClient(c)
	if err != nil {
		return err
	}
	for _, kind := range []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"} {
		all, err := api.Resource(resources[kind]).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, o := range all.Items {
			if !strings.HasPrefix(o.GetName(), "drey") {
				continue
			}
			if err := api.Resource(resources[kind]).Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	objects, err := decodeManifest([]byte(fmt.Sprintf(bareFlinkPod, "uninstalled") + "---" + jobManager))
	if err != nil {
		return err
	}
	w := &world{Cluster: c, api: api}
	for _, o := range objects {
		for { // the API server follows configurations and policies by watches
			err := w.createAndDelete(ctx, metav1.NamespaceDefault, o.Object)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("create a %s after drey was uninstalled: %w", o.GetKind(), err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// buildDrey builds the program once for all tests, and returns its path.
var buildDrey = sync.OnceValues(func() (string, error) {
	dir, err := temporary()
	if err != nil {
		return "", err
	}
	return drey.Build(context.Background(), dir)
})

// temporary returns a directory for files that outlive a test. TestMain removes it.
var temporary = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "drey-e2e-") })

func TestMain(m *testing.M) {
	cluster.RaiseParallel()
	code := m.Run()
	if err := stopAll(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// stopAll stops the shared processes. Its error includes each request of the shared drey that
// the authorizer has denied.
func stopAll() error {
	var errs []error
	if shared != nil {
		errs = append(errs, shared.drey.Stop(), audit.Forbidden(), shared.Stop())
	}
	for _, c := range idle.clusters {
		errs = append(errs, c.Stop())
	}
	if dir, err := temporary(); err == nil {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// register creates a target for a Kubernetes namespace. The target has the name of the
// namespace.
func (w *world) register(t testing.TB, platformNamespace, namespace string) {
	t.Helper()
	if err := w.drey.Register(t.Context(), platformNamespace, namespace, namespace); err != nil {
		t.Fatal(err)
	}
}

// registered returns the value of the label drey.dev/registered of a namespace.
func (w *world) registered(t testing.TB, namespace string) string {
	t.Helper()
	return w.get(t, "Namespace", "", namespace).GetLabels()["drey.dev/registered"]
}

// resources maps the kinds that the tests use.
var resources = map[string]schema.GroupVersionResource{
	"Namespace":             {Version: "v1", Resource: "namespaces"},
	"Pod":                   {Version: "v1", Resource: "pods"},
	"Service":               {Version: "v1", Resource: "services"},
	"ConfigMap":             {Version: "v1", Resource: "configmaps"},
	"Event":                 {Version: "v1", Resource: "events"},
	"ReplicationController": {Version: "v1", Resource: "replicationcontrollers"},
	"DaemonSet":             {Group: "apps", Version: "v1", Resource: "daemonsets"},
	"Deployment":            {Group: "apps", Version: "v1", Resource: "deployments"},
	"ReplicaSet":            {Group: "apps", Version: "v1", Resource: "replicasets"},
	"StatefulSet":           {Group: "apps", Version: "v1", Resource: "statefulsets"},
	"ControllerRevision":    {Group: "apps", Version: "v1", Resource: "controllerrevisions"},
	"Job":                   {Group: "batch", Version: "v1", Resource: "jobs"},
	"CronJob":               {Group: "batch", Version: "v1", Resource: "cronjobs"},

	"ValidatingWebhookConfiguration":   {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	"MutatingWebhookConfiguration":     {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	"ValidatingAdmissionPolicy":        {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
	"ValidatingAdmissionPolicyBinding": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
}

func init() {
	for _, r := range append([]flink.CustomResource{crds.Rollout}, flink.CustomResources...) {
		resources[r.Kind] = schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource}
	}
}

// create creates an object with the options of a plain client.
func (w *world) create(ctx context.Context, namespace string, object map[string]any, dryRun ...string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{Object: object}
	return w.api.Resource(resources[o.GetKind()]).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{DryRun: dryRun})
}

// createAndDelete creates an object, and deletes it at once. Unlike a dry run, it is denied for
// want of a target.
func (w *world) createAndDelete(ctx context.Context, namespace string, object map[string]any) error {
	created, err := w.create(ctx, namespace, object)
	if err != nil {
		return err
	}
	err = w.api.Resource(resources[created.GetKind()]).Namespace(namespace).Delete(ctx, created.GetName(), metav1.DeleteOptions{
		GracePeriodSeconds: new(int64), PropagationPolicy: new(metav1.DeletePropagationBackground),
	})
	if apierrors.IsNotFound(err) { // its owner does not exist
		return nil
	}
	return err
}

// deniedOrWarned returns the denial of the creation of an object in a dry run, which is a warning
// for want of a target; empty if it is allowed.
func (w *world) deniedOrWarned(t testing.TB, namespace string, object map[string]any) string {
	t.Helper()
	out := w.dryRun(t, namespace, object)
	for _, text := range out.warnings {
		if denial, ok := strings.CutPrefix(text, "drey would deny this: "); ok {
			return denial
		}
	}
	return out.denial
}

// get reads an object. The namespace of a cluster-scoped object is empty.
func (w *world) get(t testing.TB, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := w.api.Resource(resources[kind]).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (w *world) list(t testing.TB, kind, namespace string) []unstructured.Unstructured {
	t.Helper()
	l, err := w.api.Resource(resources[kind]).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l.Items
}

// clusterAdmin is a user in the group system:masters, which RBAC does not limit.
const clusterAdmin = "chief"

// impersonate returns a client that acts as a user.
func (w *world) impersonate(t testing.TB, user string) dynamic.Interface {
	t.Helper()
	config := rest.CopyConfig(w.Config())
	config.Impersonate.UserName = user
	if user == clusterAdmin {
		config.Impersonate.Groups = []string{"system:masters"}
	}
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// deepCopy copies an object through JSON.
func deepCopy(t testing.TB, object map[string]any) map[string]any {
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

// runShell runs a command line that drey has printed, with the kubectl of the cluster.
func (w *world) runShell(t testing.TB, line string) {
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

// writeManifest writes a manifest to a file, and returns its path.
func writeManifest(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readManifest returns the objects of a manifest.
func readManifest(t testing.TB, manifest []byte) []*unstructured.Unstructured {
	t.Helper()
	all, err := decodeManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func readManifestFile(t testing.TB, path string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return readManifest(t, text)
}

func decodeManifest(manifest []byte) (all []*unstructured.Unstructured, err error) {
	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096); ; {
		o := &unstructured.Unstructured{}
		switch err := d.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case len(o.Object) > 0:
			all = append(all, o)
		}
	}
}

// containsLabels reports whether an object has all of some labels.
func containsLabels(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

// metrics returns the text of /metrics.
func (w *world) metrics(t testing.TB) string {
	t.Helper()
	response, err := http.Get(w.drey.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
