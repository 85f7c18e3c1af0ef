package kubestore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/storetest"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/page"
)

// TestDocumentedRBAC runs a store as a user with the ClusterRole of docs/reference/kubernetes.md
// alone.
func TestDocumentedRBAC(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	blocks, err := page.CheckedBy("../../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.RunKubectl(t, "", "create", "namespace", "drey-system"); err != nil && !strings.Contains(out, "AlreadyExists") {
		t.Fatal(out)
	}
	for _, text := range blocks {
		w.MustKubectl(t, text, "apply", "-f", "-")
	}
	w.MustKubectl(t, "", "create", "clusterrolebinding", "drey-registry", "--clusterrole=drey-registry", "--user=drey")
	config, err := w.NewUser("drey")
	if err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, func() error { // RBAC takes effect after a delay
		s, err := kubestore.Open(t.Context(), config, kubestore.Options{})
		if err != nil {
			return err
		}
		s.Close()
		return nil
	})
	s := w.openAs(t, config, kubestore.Options{})
	go s.ReportStatus(t.Context())
	ns := w.Namespace(t)
	o, err := s.Create(t.Context(), storetest.Target(ns, "a", ns))
	if err != nil {
		t.Fatal(err)
	}
	o.Metadata.Labels["more"] = "text"
	if _, err := s.Update(t.Context(), o, 1); err != nil {
		t.Error(err)
	}
	if err := s.Confirm(t.Context(), o.Key(), o.Metadata.ID); err != nil {
		t.Error(err)
	}
	eventually.OK(t, func() error {
		if out := w.MustKubectl(t, "", "get", "dt", "a", "-n", ns, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); out != "True" {
			return fmt.Errorf("Ready: got %q, want True", out)
		}
		return nil
	})
	if err := s.DeleteIf(t.Context(), o.Key(), 2, func(ctx context.Context) error {
		_, err := s.List(ctx, registry.Deployment, ns, registry.Cached)
		return err
	}); err != nil {
		t.Error(err)
	}
	_, err = s.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: ns}})
	if registry.ReasonOf(err) != registry.ReasonNotSupported || !strings.Contains(err.Error(), "kubectl label namespace "+ns+" drey.dev/platform=true") {
		t.Errorf("without the permission to patch namespaces: got %v, want ReasonNotSupported", err)
	}
	creating := w.openAs(t, config, kubestore.Options{CreateNamespaces: true})
	_, err = creating.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: ns + "-none"}})
	if registry.ReasonOf(err) != registry.ReasonNotSupported || !strings.Contains(err.Error(), "kubectl create namespace "+ns+"-none && kubectl label namespace "+ns+"-none") {
		t.Errorf("without the permission to create namespaces: got %v, want ReasonNotSupported", err)
	}
}
