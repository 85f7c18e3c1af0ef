package install

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/kubelet"
)

// TestRolesOfPeople: the roles view, edit and admin of Kubernetes include drey's.
func TestRolesOfPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kubelet.Start(t, kubelet.Options{Cluster: w.Cluster, Namespaces: []string{"drey-system"}})
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m")
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: team-a}}")
	can := func(user, verb, resource string) bool {
		review, err := w.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "team-a", Verb: verb, Group: "drey.dev", Resource: resource},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return review.Status.Allowed
	}
	for _, role := range []string{"view", "edit", "admin"} {
		w.MustKubectl(t, "", "create", "rolebinding", role, "-n", "team-a", "--clusterrole="+role, "--user="+role)
	}
	for _, c := range []struct {
		verb, resource    string
		view, edit, admin bool
	}{
		{"list", "deploymenttargets", true, true, true},
		{"watch", "deployments", true, true, true},
		{"list", "jobs", true, true, true},
		{"create", "deployments", false, true, true},
		{"delete", "sessionclusters", false, true, true},
		{"create", "deploymenttargets", false, false, true},
		{"delete", "deploymenttargets", false, false, true},
	} {
		eventually.OK(t, func() error { // until the controller has aggregated the roles
			for user, want := range map[string]bool{"view": c.view, "edit": c.edit, "admin": c.admin} {
				if got := can(user, c.verb, c.resource); got != want {
					return fmt.Errorf("%s %s %s: got %t, want %t", user, c.verb, c.resource, got, want)
				}
			}
			return nil
		})
	}
	if can("stranger", "get", "deploymenttargets") {
		t.Error("a user without a role: got get, want it denied")
	}
	w.mustRun(t, "install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m", "--aggregate-to", "view,edit")
	eventually.OK(t, func() error {
		if can("admin", "create", "deploymenttargets") || !can("admin", "create", "deployments") || !can("admin", "list", "deploymenttargets") {
			return errors.New("admin without aggregation: got other permissions than those of view and edit")
		}
		return nil
	})
	if out, _ := w.doctor(t); strings.Contains(out, "clusterrole/drey-admin") {
		t.Errorf("doctor: got %s, want no finding on the role", out)
	}
}
