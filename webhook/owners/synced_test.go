package owners

import (
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/webhook/flink"
)

// TestSynced checks that Owners waits for the custom resources that are served: a pod may have
// the UID of one that is not listed yet.
func TestSynced(t *testing.T) {
	resource := schema.GroupResource{Group: "flink.apache.org", Resource: "flinkdeployments"}
	notServed := apierrors.NewNotFound(resource, "")
	for rule, c := range map[string]struct {
		others, fail error // of the lists of other custom resources, and of the first lists of FlinkDeployments
		waits        bool
	}{
		"all listed":                {},
		"none served":               {others: notServed, fail: notServed},
		"forbidden":                 {fail: apierrors.NewForbidden(resource, "", errors.New("no right"))},
		"served and not listed yet": {fail: apierrors.NewServiceUnavailable("later"), waits: true},
		"served and not listed yet, others not served": {others: notServed, fail: apierrors.NewServiceUnavailable("later"), waits: true},
		"unknown error": {others: notServed, fail: errors.New("broken"), waits: true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scheme := metadatafake.NewTestScheme()
				if err := metav1.AddMetaToScheme(scheme); err != nil {
					t.Fatal(err)
				}
				lists := map[schema.GroupVersionResource]string{}
				for _, k := range cachedKinds {
					lists[k.resource()] = k.Kind + "List"
				}
				custom := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists)
				var listable atomic.Bool // FlinkDeployments
				custom.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
					list := &unstructured.UnstructuredList{}
					list.SetResourceVersion("1")
					if a.GetResource().GroupResource() == resource {
						if !listable.Load() && c.fail != nil {
							return true, nil, c.fail
						}
						return true, list, nil
					}
					if c.others != nil && slices.ContainsFunc(flink.CustomResources, func(r flink.CustomResource) bool { return r.Group == a.GetResource().Group }) {
						return true, nil, c.others
					}
					return true, list, nil
				})
				o, err := newOwners(metadatafake.NewSimpleMetadataClient(scheme), custom, nil, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				go o.Run(t.Context())
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if o.Synced() == c.waits {
					t.Errorf("synced %t before FlinkDeployments are listed", !c.waits)
				}
				listable.Store(true)
				time.Sleep(2 * time.Minute) // the longest backoff of a reflector is a minute
				synctest.Wait()
				if !o.Synced() {
					t.Error("not synced")
				}
			})
		})
	}
}
