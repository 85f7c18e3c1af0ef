package kubectl

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// quota is the quota of each platform namespace in the shared world.
const quota = "1Mi"

// TestQuota fills the quota of a platform namespace, which counts all that drey caches of an
// object. kubectl and REST deny writes beyond it, and allow updates that do not grow.
func TestQuota(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns, other := w.Namespace(t), w.Namespace(t)
	alice := w.admin(t, ns)
	const full = `platform namespace "%s" uses %s of its quota of 1.0 MiB: delete objects in it or make them smaller`
	text := func(kib int) string { return "text: " + strings.Repeat("x", kib<<10) }
	create := func(t *testing.T, name, spec string) {
		t.Helper()
		eventually.OK(t, func() error { // until drey's watch has the deletion
			if out, err := w.RunKubectl(t, objectYAML("Deployment", name, spec), alice.as(ns, "create", "-f", "-")...); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	wantExceeded := func(t *testing.T, used, manifest string, args ...string) {
		t.Helper()
		w.wantDenied(t, fmt.Sprintf(full, ns, used), manifest, alice.as(ns, args...)...)
	}
	for i := range 3 {
		create(t, fmt.Sprint("d-", i), text(300))
	}
	eventually.OK(t, func() error {
		const want = "uses 903.0 KiB of its quota"
		if out, err := w.RunKubectl(t, objectYAML("Deployment", "d-3", text(300)), alice.as(ns, "create", "--dry-run=server", "-f", "-")...); err == nil || !strings.Contains(out, want) {
			return fmt.Errorf("%w: %s, want %s", err, out, want)
		}
		return nil
	})

	t.Run("create", func(t *testing.T) {
		wantExceeded(t, "903.0 KiB", objectYAML("SessionCluster", "c", text(130)), "create", "-f", "-")
	})
	t.Run("apply counts last-applied-configuration", func(t *testing.T) {
		wantExceeded(t, "903.0 KiB", objectYAML("Deployment", "applied", text(70)), "apply", "-f", "-")
		w.MustKubectl(t, objectYAML("Deployment", "applied", text(70)), alice.as(ns, "apply", "--server-side", "--dry-run=server", "-f", "-")...)
	})
	t.Run("replace", func(t *testing.T) {
		wantExceeded(t, "903.0 KiB", objectYAML("Deployment", "d-0", text(500)), "replace", "-f", "-")
	})
	for field, patch := range map[string]string{
		"annotations": `{"metadata":{"annotations":{"a":"` + strings.Repeat("x", 130<<10) + `"}}}`,
		"hidden":      `{"metadata":{"annotations":{"drey.dev/a":"` + strings.Repeat("x", 130<<10) + `"}}}`,
		"owners":      `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","uid":"1","name":"` + strings.Repeat("x", 130<<10) + `"}]}}`,
		"labels":      `{"metadata":{"labels":{` + manyLabels(2000) + `}}}`,
		"finalizers":  `{"metadata":{"finalizers":[` + manyFinalizers(2000) + `]}}`,
	} {
		t.Run("patch "+field, func(t *testing.T) {
			wantExceeded(t, "903.0 KiB", patch, "patch", "vdep", "d-0", "--type=merge", "--patch-file=/dev/stdin")
		})
	}
	t.Run("REST", func(t *testing.T) {
		status, failure := alice.call(t, http.MethodPost, "/api/v1/namespaces/"+ns+"/deployments", `{"metadata":{"name":"rest"},"spec":{"text":"`+strings.Repeat("x", 130<<10)+`"}}`)
		if status != http.StatusForbidden || failure.Reason != "QuotaExceeded" || !strings.Contains(failure.Message, fmt.Sprintf(full, ns, "903.0 KiB")) {
			t.Errorf("POST: got %d %+v, want 403 QuotaExceeded", status, failure)
		}
	})
	t.Run("other platform namespace", func(t *testing.T) {
		w.MustKubectl(t, objectYAML("Deployment", "d", text(300)), "create", "-n", other, "-f", "-")
	})
	t.Run("labels and small changes", func(t *testing.T) {
		w.MustKubectl(t, "", alice.as(ns, "label", "vdep", "d-0", "team=nuts")...)
		w.MustKubectl(t, "", alice.as(ns, "label", "vdep", "d-0", "team-")...)
	})
	t.Run("terminating object counts", func(t *testing.T) {
		w.MustKubectl(t, "", alice.as(ns, "patch", "vdep", "d-2", "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)...)
		w.MustKubectl(t, "", alice.as(ns, "delete", "vdep", "d-2", "--wait=false")...)
		wantExceeded(t, "903.1 KiB", objectYAML("Deployment", "d-3", text(300)), "create", "-f", "-")
		w.MustKubectl(t, "", alice.as(ns, "patch", "vdep", "d-2", "--type=merge", "-p", `{"metadata":{"finalizers":[]}}`)...)
		create(t, "d-3", text(300))
	})
	t.Run("smaller object frees quota", func(t *testing.T) {
		w.MustKubectl(t, objectYAML("Deployment", "d-0", text(1)), alice.as(ns, "replace", "-f", "-")...)
		create(t, "d-4", text(300))
	})
}

func manyLabels(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"example.com/%060d":"x"`, i))
	}
	return strings.Join(list, ",")
}

func manyFinalizers(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"example.com/%060d"`, i))
	}
	return strings.Join(list, ",")
}
