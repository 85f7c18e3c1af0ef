package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/eventually"
)

func clientOf(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// waitFor polls done.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	eventually.OK(t, func() error {
		if !done() {
			return fmt.Errorf("%s: not yet", what)
		}
		return nil
	})
}

// TestStartAndStop: Stop leaves no process and no file.
func TestStartAndStop(t *testing.T) {
	began := time.Now()
	path := filepath.Join(t.TempDir(), "new", "kubeconfig")
	c, err := New(t.Context(), Options{Kubeconfig: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	t.Logf("started in %s", time.Since(began).Round(10*time.Millisecond))

	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || c.Kubeconfig() != path {
		t.Errorf("kubeconfig %s: %v, %v; want it at %s for the owner only", c.Kubeconfig(), info, err, path)
	}
	if _, err := New(t.Context(), Options{Kubeconfig: path}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second cluster took the kubeconfig of the first: %v", err)
	}

	pids := c.trace().PIDs
	if len(pids) != len(components)+1 {
		t.Errorf("processes %v; want one for each of %v and the reaper", pids, components)
	}
	for _, pid := range pids {
		if group, err := syscall.Getpgid(pid); err != nil || group != pid {
			t.Errorf("process %d is in group %d, %v; want one of its own, out of a terminal's reach", pid, group, err)
		}
	}
	began = time.Now()
	for range 2 {
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("stopped in %s", time.Since(began).Round(10*time.Millisecond))
	for _, pid := range pids {
		if running(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
	for _, left := range []string{c.Dir(), path} {
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s still exists: %v", left, err)
		}
	}
	if c.PID(APIServer) != 0 {
		t.Error("PID of the API server of a stopped cluster is not 0")
	}
	if err := c.RestartAPIServer(t.Context(), syscall.SIGKILL); err == nil {
		t.Error("a stopped cluster restarted its API server")
	}
}

// TestTwoClusters: clusters share no objects and no users.
func TestTwoClusters(t *testing.T) {
	t.Parallel()
	one, two := Shared(t), Start(t)
	namespace := one.Namespace(t)
	if _, err := two.core.Namespaces().Get(t.Context(), namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a namespace of one cluster in the other: %v", err)
	}
	foreign, err := one.NewUser("admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	foreign.Host, foreign.CAData = two.Config().Host, two.Config().CAData
	if err := clientOf(t, foreign).Discovery().RESTClient().Get().AbsPath("/api").Do(t.Context()).Error(); !apierrors.IsUnauthorized(err) {
		t.Errorf("a user of one cluster is authenticated in the other: %v", err)
	}
}

// TestUserRBAC: a user has the permissions of their groups and no others.
func TestUserRBAC(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	namespace := c.Namespace(t)
	config, err := c.NewUser("ada", "readers")
	if err != nil {
		t.Fatal(err)
	}
	list := func() error {
		_, err := clientOf(t, config).CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "ada"`) {
		t.Fatalf("user without permissions: %v; want forbidden for ada", err)
	}
	_, err = clientOf(t, c.Config()).RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "readers"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "readers"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "permissions of the group", func() bool { return list() == nil })
}

// TestEtcdRejectsUsers: the certificate of a user does not authenticate to etcd.
func TestEtcdRejectsUsers(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	if err := c.etcdHealthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	user := &Cluster{ports: c.ports, pki: &pki{cluster: c.pki.cluster, etcdClient: c.pki.admin}}
	if err := user.etcdHealthy(t.Context()); err == nil {
		t.Error("etcd accepted the administrator's certificate")
	}
}

func TestKubectl(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	out, err := c.KubectlCommand(t.Context(), "api-resources", "--api-group=admissionregistration.k8s.io").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"mutatingadmissionpolicies", "validatingadmissionpolicies", "mutatingwebhookconfigurations"} {
		if !regexp.MustCompile(`(?m)^` + want + ` .* admissionregistration.k8s.io/v1 `).Match(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	out, err = c.KubectlCommand(t.Context(), "version").CombinedOutput()
	versions := regexp.MustCompile(`(?m)^(?:Client|Server) Version: (.*)$`).FindAllStringSubmatch(string(out), -1)
	if err != nil || len(versions) != 2 || versions[0][1] != versions[1][1] {
		t.Errorf("version: %v\n%s\nwant the same of client and server", err, out)
	}
	if m, err := findModule(); os.Getenv(kubebuilderAssets) == "" && (err != nil || versions[0][1] != m.kubernetes) {
		t.Errorf("version %s; want %s, %v", versions[0][1], m.kubernetes, err)
	}
}

// TestStartFailure: the error contains the log of the component, and no file is left.
func TestStartFailure(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	_, err := New(t.Context(), Options{
		APIServerArgs: []string{"--no-such-flag"},
		Kubeconfig:    filepath.Join(temp, "kubeconfig"),
	})
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver: exit status 1") || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v; want the API server's log", err)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestStartPortTaken: a start with a port in use is retried with other ports.
func TestStartPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	var tries int
	_, err = New(t.Context(), Options{choosePorts: func() (ports, error) {
		p, err := freePorts()
		*[]*int{&p.etcd, &p.etcdPeer, &p.apiServer}[tries] = taken
		tries++
		return p, err
	}})
	if !errors.Is(err, errPortTaken) || tries != portAttempts {
		t.Errorf("with one port or another taken: %d tries and %v; want %d and %v", tries, err, portAttempts, errPortTaken)
	}
}

// TestNamespaceAcceptsPods: pods can be created at once, the name is derived from the test's
// and cut, and the namespace is deleted with the test.
func TestNamespaceAcceptsPods(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	var namespace string
	t.Run("in a Test / named Ödd-ly", func(t *testing.T) {
		namespace = c.Namespace(t)
		if !strings.HasPrefix(namespace, "testnamespaceacceptspods-in-a-test-named-") {
			t.Errorf("name %s is not derived from the test's", namespace)
		}
		_, err := c.core.Pods(namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "pod"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "deletion of the namespace", func() bool {
		_, err := c.core.Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}
