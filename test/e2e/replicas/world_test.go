// Package replicas tests several replicas of drey with one registry in the cluster, behind
// load balancers that follow their readiness.
package replicas

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/test/framework/balancer"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

var (
	rounds = flag.Int("rounds", 2, "rolling restarts of all replicas, alternately an upgrade and a rollback")
	rate   = flag.Int("rate", 40, "pods per second during the restarts")
	outage = flag.Duration("outage", 8*time.Second, "duration of an outage of the API server, or of drey")
	chaos  = flag.Duration("chaos", 15*time.Second, "duration of the kills of replicas, API server and etcd")
)

func TestMain(m *testing.M) {
	// Each request opens a connection, which the balancer sends to another replica.
	http.DefaultTransport.(*http.Transport).DisableKeepAlives = true
	os.Exit(m.Run())
}

// world is a control plane with replicas of drey as the manifests run them, behind
// balancers in place of Services.
type world struct {
	*cluster.Cluster
	client         kubernetes.Interface
	program        string
	shutdownDelay  time.Duration
	webhooks, rest *balancer.Balancer

	mu       sync.Mutex
	replicas []*replica
	dirs     int
}

type replica struct {
	*drey.Drey
	webhooks, rest balancer.Backend
}

func newWorld(t *testing.T, replicas int) *world {
	t.Helper()
	return newWorldWithDelay(t, replicas, 2*time.Second)
}

// newWorldWithDelay starts replicas with a shutdown delay: the longer it is, the fewer idle
// connections are left to close while the API server sends a request on them.
func newWorldWithDelay(t *testing.T, replicas int, shutdownDelay time.Duration) *world {
	t.Helper()
	w := &world{Cluster: cluster.Start(t), shutdownDelay: shutdownDelay}
	w.client = kubernetes.NewForConfigOrDie(w.Config())
	var err error
	if w.program, err = drey.Build(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, b := range []**balancer.Balancer{&w.webhooks, &w.rest} {
		if *b, err = balancer.New(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*b).Close() })
	}
	if err := rollout.InstallCRDs(t.Context(), w.Config()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "drey-system"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.register(t)
	t.Cleanup(func() {
		for _, r := range w.replicas {
			r.LogOnFailure(t)
			if err := r.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	for range replicas {
		w.start(t)
	}
	w.await(t, replicas)
	return w
}

// register installs the webhook configurations, which call the balancer, and the policies.
func (w *world) register(t *testing.T) {
	t.Helper()
	exclude := append([]string{"drey-system"}, config.SystemNamespaces...)
	client := config.ByURL("https://"+w.webhooks.Address(), nil, "")
	api := w.client.AdmissionregistrationV1()
	self, err := w.client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mutating, validating := config.Mutating(client, exclude, self.Status.UserInfo.Username), config.Validating(client, exclude)
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].TimeoutSeconds = new(int32(30)) // the machine may be busy
	}
	policies, bindings := config.Policies(config.PolicyOptions{
		Exclude: exclude, Mode: config.Enforce, Username: self.Status.UserInfo.Username, OwnNamespace: "drey-system",
		RegisterCommand: verdict.RegisterHint{InCluster: true}.Command("NAMESPACE", "default"),
	})
	_, err = api.MutatingWebhookConfigurations().Create(t.Context(), mutating, metav1.CreateOptions{})
	_, errValidating := api.ValidatingWebhookConfigurations().Create(t.Context(), validating, metav1.CreateOptions{})
	err = errors.Join(err, errValidating)
	for _, p := range policies {
		_, errPolicy := api.ValidatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{})
		err = errors.Join(err, errPolicy)
	}
	for _, b := range bindings {
		_, errBinding := api.ValidatingAdmissionPolicyBindings().Create(t.Context(), b, metav1.CreateOptions{})
		err = errors.Join(err, errBinding)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// failClosed sets failurePolicy Fail for pods, so that a failed call fails the creation.
func (w *world) failClosed(t *testing.T) {
	t.Helper()
	api := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	c, err := api.Get(t.Context(), config.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Webhooks {
		if c.Webhooks[i].Name == config.NameLabelPods || c.Webhooks[i].Name == config.NameLabelTypedPods {
			c.Webhooks[i].FailurePolicy = new(admissionregistrationv1.Fail)
		}
	}
	if _, err := api.Update(t.Context(), c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// reconfigure updates the webhook configuration, as an upgrade does.
func (w *world) reconfigure(t *testing.T, timeout int32) {
	t.Helper()
	api := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { // the leader writes the caBundle
		c, err := api.Get(t.Context(), config.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for i := range c.Webhooks {
			c.Webhooks[i].TimeoutSeconds = new(timeout)
		}
		_, err = api.Update(t.Context(), c, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a replica and adds it to the balancers.
func (w *world) start(t *testing.T, more ...string) {
	t.Helper()
	w.mu.Lock()
	w.dirs++
	dir := filepath.Join(w.Dir(), fmt.Sprintf("replica-%d", w.dirs))
	w.mu.Unlock()
	d, err := drey.Start(context.Background(), drey.Options{
		Program: w.program, Cluster: w.Cluster, DataDir: dir, Pod: true,
		Args: append([]string{"--store", "kubernetes", "--create-namespaces", "--install-webhooks=false", "--certs", "self-signed", "--shutdown-delay", w.shutdownDelay.String()}, more...),
	})
	if err != nil {
		t.Fatal(err)
	}
	backend := func(base string) balancer.Backend {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		return balancer.Backend{Address: u.Host, ReadyURL: d.Probes + "/readyz"}
	}
	r := &replica{Drey: d, webhooks: backend(d.Webhook), rest: backend(d.REST)}
	w.webhooks.Add(r.webhooks)
	w.rest.Add(r.rest)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replicas = append(w.replicas, r)
}

// remove removes a stopped replica from the world and the balancers.
func (w *world) remove(r *replica) {
	w.webhooks.Remove(r.webhooks)
	w.rest.Remove(r.rest)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replicas = slices.DeleteFunc(slices.Clone(w.replicas), func(other *replica) bool { return other == r })
}

// await waits until the balancers have that many ready replicas.
func (w *world) await(t *testing.T, replicas int) {
	t.Helper()
	eventually.OK(t, func() error {
		if a, b := w.webhooks.ReadyBackends(), w.rest.ReadyBackends(); a != replicas || b != replicas {
			return fmt.Errorf("got %d and %d ready replicas, want %d", a, b, replicas)
		}
		return nil
	})
}

// url returns the URL of the REST API behind the balancer.
func (w *world) url() string { return "http://" + w.rest.Address() }

// call sends a REST request. status is 0 if there was no response.
func call(ctx context.Context, method, url, body string) (status int, header http.Header, answer string) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return response.StatusCode, response.Header, string(text)
}

func targetBody(name, namespace string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"kubernetes":{"namespace":%q}}}`, name, namespace)
}
