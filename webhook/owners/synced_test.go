package owners

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/flink"
)

// TestSynced: a pod may state the uid of a custom resource that is not listed yet.
func TestSynced(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: "flink.apache.org", Resource: "flinkdeployments"}
	notServed := apierrors.NewNotFound(resource, "")
	for rule, c := range map[string]struct {
		others, fail error // of listing the other custom resources, and FlinkDeployments at first; nil: they are listed
		waits        bool
	}{
		"all are listed":                            {},
		"what the cluster does not serve":           {others: notServed, fail: notServed},
		"what drey may not list":                    {fail: apierrors.NewForbidden(resource, "", errors.New("no right"))},
		"what is served and not listed yet":         {fail: apierrors.NewServiceUnavailable("later"), waits: true},
		"alone, of all that the cluster could have": {others: notServed, fail: apierrors.NewServiceUnavailable("later"), waits: true},
		"an error that tells nothing":               {others: notServed, fail: errors.New("broken"), waits: true},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			scheme := metadatafake.NewTestScheme()
			if err := metav1.AddMetaToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			lists := map[schema.GroupVersionResource]string{}
			for _, r := range flink.CustomResources {
				lists[schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource}] = r.Kind + "List"
			}
			custom := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists)
			var listed atomic.Bool // FlinkDeployments can be
			custom.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				list := &unstructured.UnstructuredList{}
				list.SetResourceVersion("1")
				if a.GetResource().GroupResource() == resource {
					if !listed.Load() && c.fail != nil {
						return true, nil, c.fail
					}
					return true, list, nil
				}
				if c.others != nil {
					return true, nil, c.others
				}
				return true, list, nil
			})
			o, err := with(metadatafake.NewSimpleMetadataClient(scheme), custom, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			go o.Run(t.Context())
			synced := func() error {
				if !o.Synced() {
					return errors.New("not synced")
				}
				return nil
			}
			if c.waits {
				time.Sleep(time.Second)
				if o.Synced() {
					t.Error("it is synced before they are listed")
				}
				listed.Store(true)
			}
			eventually.OK(t, 20*time.Second, synced)
		})
	}
}
