package kubestore_test

import (
	"fmt"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/test/framework/eventually"
)

// TestIndexFollowsKubectl changes targets with kubectl, and reads the index of admission.
func TestIndexFollowsKubectl(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	index := registry.NewIndex("drey-system")
	if err := index.Follow(t.Context(), w.open(t, kubestore.Options{})); err != nil {
		t.Fatal(err)
	}
	ns := w.Namespace(t)
	flink := ns + "-flink"
	wantTargets := func(want string) {
		t.Helper()
		eventually.OK(t, func() error {
			var got string
			for _, target := range index.Targets(flink) {
				got += target.String() + " "
			}
			if got != want {
				return fmt.Errorf("targets of %s: got %q, want %q", flink, got, want)
			}
			return nil
		})
	}
	w.MustKubectl(t, targetYAML("staging", "", flink)+"---\n"+targetYAML("other", "myOther", flink), "apply", "-n", ns, "-f", "-")
	wantTargets(ns + "/myOther " + ns + "/staging ")
	w.MustKubectl(t, "", "delete", "dt", "staging", "-n", ns)
	wantTargets(ns + "/myOther ")
	w.MustKubectl(t, "", "delete", "namespace", ns, "--wait=false")
	wantTargets("")
}
