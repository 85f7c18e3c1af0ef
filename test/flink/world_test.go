// Package flink runs several versions of real Flink on a control plane with drey. Clients,
// JobManagers and TaskManagers are processes on this machine; drey labels their pods.
package flink

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/test/flink/dist"
	"drey.dev/drey/test/flink/image"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/kubelet"
)

const (
	defaultVersions = "1.20.1,2.3.0"
	allVersions     = "1.18.1,1.19.3,1.20.5,2.0.2,2.1.3,2.2.1,2.3.0"

	startTimeout = 3 * time.Minute // of one or two JVMs
)

var (
	versionsFlag = flag.String("versions", defaultVersions, "comma-separated versions of Flink; all: "+allVersions)
	updateFlag   = flag.Bool("update", false, "write the table of docs/explanation/flink.md; a partial run replaces its own cells only")
	logsFlag     = flag.String("logs", "", "write the logs of pods into this directory")
	dumpFlag     = flag.String("dump", "", "write Flink's objects, without drey's labels, into this directory")
)

const platformNamespace = "team-a"

// world is a control plane with drey, and one version of Flink in one namespace.
type world struct {
	*shared
	t         *testing.T
	version   string
	namespace string
	kubelet   *kubelet.Kubelet
	runtime   *image.Runtime
	client    *image.Client
}

// shared has the state that all tests share. They do not run in parallel.
type shared struct {
	*cluster.Cluster
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	dir     string
	program string
	drey    *drey.Drey
}

var startShared = sync.OnceValues(func() (_ *shared, err error) {
	ctx := context.Background()
	s := &shared{}
	if s.Cluster, err = cluster.New(ctx, cluster.Options{}); err != nil {
		return nil, err
	}
	started = s
	s.dir = s.Dir()
	if s.kube, err = kubernetes.NewForConfig(s.Config()); err != nil {
		return nil, err
	}
	if s.dynamic, err = dynamic.NewForConfig(s.Config()); err != nil {
		return nil, err
	}
	if s.program, err = drey.BuildIn(ctx, "../..", s.dir); err != nil {
		return nil, err
	}
	return s, s.startDrey(ctx)
})

var started *shared // for TestMain

func (s *shared) startDrey(ctx context.Context) (err error) {
	s.drey, err = drey.Start(ctx, drey.Options{
		Program: s.program, Cluster: s.Cluster, DataDir: s.dir, Args: []string{"--platform-namespace", platformNamespace},
	})
	return err
}

func (s *shared) stopDrey() error {
	if s.drey == nil {
		return nil
	}
	err := s.drey.Stop()
	s.drey = nil
	return err
}

func TestMain(m *testing.M) {
	flag.Parse()
	if missing := dist.Missing(); len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "programs missing in PATH:\n\t%s\n", strings.Join(missing, "\n\t"))
		os.Exit(1)
	}
	code := m.Run()
	if err := update(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if started != nil {
		if err := errors.Join(started.stopDrey(), started.Stop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func versions() []string {
	if *versionsFlag == "all" {
		return strings.Split(allVersions, ",")
	}
	return strings.Split(*versionsFlag, ",")
}

// eachVersion runs a scenario per version of Flink, each in its own namespace.
func eachVersion(t *testing.T, scenario func(t *testing.T, w *world)) {
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) { scenario(t, newWorld(t, version)) })
	}
}

// newWorld returns a world with an unregistered namespace whose pods a kubelet runs.
func newWorld(t *testing.T, version string) *world {
	t.Helper()
	d, err := dist.Fetch(t.Context(), version, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := jobJar(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	s, err := startShared()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{shared: s, t: t, version: version, namespace: s.Namespace(t)}
	dir, err := os.MkdirTemp(s.dir, "flink-")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := w.serviceAccount(filepath.Join(dir, "kubeconfig"))
	if w.runtime, err = image.New(d, s.Cluster, kubeconfig, jar, filepath.Join(dir, "image")); err != nil {
		t.Fatal(err)
	}
	if w.client, err = image.NewClient(d, kubeconfig, filepath.Join(dir, "client")); err != nil {
		t.Fatal(err)
	}
	w.kubelet = kubelet.Start(t, kubelet.Options{Cluster: s.Cluster, Namespaces: []string{w.namespace}, Runtime: w.runtime, LogDir: *logsFlag})
	t.Cleanup(func() {
		if s.drey != nil && t.Failed() {
			lines := strings.Split(s.drey.Log(), "\n")
			t.Log("last lines of drey's log:\n" + strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
		// Otherwise JobManagers would replace TaskManagers while the namespace terminates.
		err := s.kube.AppsV1().Deployments(w.namespace).DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{})
		if err != nil {
			t.Log(err)
		}
	})
	return w
}

// serviceAccount creates the ServiceAccount of Flink's documentation, and writes its
// kubeconfig. Flink's client does not support the EC keys of the cluster's users.
func (w *world) serviceAccount(path string) string {
	w.t.Helper()
	ctx, name := w.t.Context(), metav1.ObjectMeta{Name: image.ServiceAccount}
	if _, err := w.kube.CoreV1().ServiceAccounts(w.namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: name}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	_, err := w.kube.RbacV1().RoleBindings(w.namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: name,
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: image.ServiceAccount}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.kube.CoreV1().ServiceAccounts(w.namespace).CreateToken(ctx, image.ServiceAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(w.Kubeconfig())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData, user.Token = nil, nil, token.Status.Token
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// in returns the world for a subtest.
func (w *world) in(t *testing.T) *world {
	inner := *w
	inner.t = t
	return &inner
}

var jars struct {
	sync.Mutex
	paths map[string]string // by version of Flink
}

// jobJar returns the jar of the endless job, compiled against a version.
func jobJar(ctx context.Context, d *dist.Dist) (string, error) {
	jars.Lock()
	defer jars.Unlock()
	if path := jars.paths[d.Version]; path != "" {
		return path, nil
	}
	s, err := startShared()
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "job-"+d.Version+".jar")
	if err := d.BuildJar(ctx, path, image.JobClass, filepath.Join("job", "EndlessJob.java")); err != nil {
		return "", err
	}
	if jars.paths == nil {
		jars.paths = map[string]string{}
	}
	jars.paths[d.Version] = path
	return path, nil
}

// register registers a target for the namespace.
func (w *world) register() {
	w.t.Helper()
	if err := w.drey.Register(w.t.Context(), platformNamespace, w.namespace, w.namespace); err != nil {
		w.t.Fatal(err)
	}
}

// resources are the resources that Flink creates.
var resources = []schema.GroupVersionResource{
	{Version: "v1", Resource: "pods"}, {Version: "v1", Resource: "services"}, {Version: "v1", Resource: "configmaps"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
}

// objects lists Flink's objects of a cluster, of all kinds.
func (w *world) objects(clusterID string) []unstructured.Unstructured {
	w.t.Helper()
	var all []unstructured.Unstructured
	for _, r := range resources {
		list, err := w.dynamic.Resource(r).Namespace(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: "app=" + clusterID})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range list.Items { // items of a list have no kind of their own
			o.SetGroupVersionKind(r.GroupVersion().WithKind(strings.TrimSuffix(list.GetKind(), "List")))
			all = append(all, o)
		}
	}
	return all
}

// pods lists the pods of a cluster in a role that have not ended.
func (w *world) pods(clusterID, role string) []corev1.Pod {
	w.t.Helper()
	list, err := w.kube.CoreV1().Pods(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: "app=" + clusterID + ",component=" + role})
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
}

// awaitPod waits for a pod of a cluster in a role.
func (w *world) awaitPod(clusterID, role string) corev1.Pod {
	w.t.Helper()
	var found []corev1.Pod
	eventually.Within(w.t, startTimeout, func() error {
		if found = w.pods(clusterID, role); len(found) == 0 {
			return fmt.Errorf("cluster %s: got no %s", clusterID, role)
		}
		return nil
	})
	return found[0]
}

// state returns the states of a cluster's jobs from its JobManager's REST API.
func (w *world) state(ctx context.Context, clusterID string) ([]string, error) {
	ports, err := w.runtime.Ports(w.namespace, clusterID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+ports.REST+"/jobs/overview", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var overview struct {
		Jobs []struct {
			State string `json:"state"`
			Tasks struct {
				Total, Running int
			} `json:"tasks"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal(body, &overview); err != nil {
		return nil, fmt.Errorf("%w: %s", err, body)
	}
	var states []string
	for _, j := range overview.Jobs {
		if j.State == "RUNNING" && j.Tasks.Running < j.Tasks.Total {
			j.State = "DEPLOYING" // the job is RUNNING before its tasks are
		}
		states = append(states, j.State)
	}
	return states, nil
}

// awaitRunning waits until the only job of a cluster and all of its tasks are RUNNING.
func (w *world) awaitRunning(clusterID string) {
	w.t.Helper()
	w.awaitRunningWithin(clusterID, startTimeout)
}

func (w *world) awaitRunningWithin(clusterID string, within time.Duration) {
	w.t.Helper()
	eventually.Within(w.t, within, func() error {
		states, err := w.state(w.t.Context(), clusterID)
		if err == nil && !slices.Equal(states, []string{"RUNNING"}) {
			err = fmt.Errorf("jobs of cluster %s: got %q, want one RUNNING", clusterID, states)
		}
		return err
	})
}
