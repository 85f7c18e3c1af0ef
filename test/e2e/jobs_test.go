package e2e

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	registryworkloads "drey.dev/drey/registry/workloads"
)

// roundTripper counts requests.
type roundTripper struct {
	http.RoundTripper
	requests *atomic.Int32
}

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	r.requests.Add(1)
	return r.RoundTripper.RoundTrip(request)
}

// TestJobsOfManyNamespaces: the pods of many Kubernetes namespaces are listed at once, those of
// others left out; with rights in single namespaces, one by one.
func TestJobsOfManyNamespaces(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "default", namespace)
	w.runJobManager(t, namespace)
	names := []string{namespace}
	for len(names) < 12 {
		names = append(names, w.Namespace(t))
	}
	const user = "reader-of-jobs"
	bindings := ""
	for _, name := range names {
		bindings += fmt.Sprintf("---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: %s, namespace: %s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %s}]}\n", user, name, user)
	}
	w.MustKubectl(t, bindings, "apply", "-f", "-")
	for _, c := range []struct {
		caller     string // empty: an admin of the cluster
		namespaces []string
		jobs       int
		requests   int32
	}{
		{"", names, 1, 1},
		{"", names[1:], 0, 1},
		{"", names[:2], 1, 2},
		{user, names, 1, 13},
	} {
		var sent atomic.Int32
		config := rest.CopyConfig(w.Config())
		config.Impersonate.UserName = c.caller
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return roundTripper{next, &sent} })
		cluster, err := registryworkloads.New(config)
		if err != nil {
			t.Fatal(err)
		}
		found, err := cluster.Jobs(t.Context(), c.namespaces, "default")
		if n := sent.Load(); err != nil || len(found) != c.jobs || n != c.requests {
			t.Errorf("%q, %d namespaces: got %d jobs with %d requests, %v; want %d with %d", c.caller, len(c.namespaces), len(found), n, err, c.jobs, c.requests)
		}
	}
}
