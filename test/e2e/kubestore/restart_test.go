package kubestore_test

import (
	"fmt"
	"syscall"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/storetest"
	"drey.dev/drey/test/framework/eventually"
)

// TestAPIServerCrash kills the API server and changes objects before the store's watch is
// back.
func TestAPIServerCrash(t *testing.T) {
	w := sharedWorld(t)
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	var seen events
	if err := s.Watch(t.Context(), registry.DeploymentTarget, seen.observe(ns)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kept", "deleted"} {
		if _, err := s.Create(t.Context(), storetest.Target(ns, name, "flink")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.RestartAPIServer(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.MustKubectl(t, "", "delete", "dt", "deleted", "-n", ns)
	w.MustKubectl(t, targetYAML("new", "", "flink"), "apply", "-n", ns, "-f", "-")
	get(t, s, target(ns, "new"), anything)
	kept, err := s.Get(t.Context(), target(ns, "kept"), registry.Cached)
	if err != nil || kept.Metadata.ResourceVersion != 1 {
		t.Errorf("got %+v, %v, want version 1", kept, err)
	}
	eventually.OK(t, func() error { _, err := s.Update(t.Context(), kept, 1); return err })
	const want = "Added kept flink, Added deleted flink, Deleted deleted flink, Added new flink, Modified kept flink"
	eventually.OK(t, func() error {
		if got := seen.text(); got != want {
			return fmt.Errorf("got the events %s, want %s", got, want)
		}
		return nil
	})
}
