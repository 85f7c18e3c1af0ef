package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/webhook/flink"
)

// unreadOwners are owners of which none was read in time.
type unreadOwners struct{ noOwners }

func (unreadOwners) Of(context.Context, *flink.Object) ([]flink.Owner, bool) { return nil, false }

// TestFindConflicts checks which Deployments a scan reports, and when a conflict ends.
func TestFindConflicts(t *testing.T) {
	deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	deployment := func(namespace, name, platform string) *unstructured.Unstructured {
		labels := map[string]string{"vvpNamespace": platform}
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"spec": map[string]any{"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"vvpNamespace": platform}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "jobmanager", "image": "flink:2", "args": []any{"standalone-job"}}}},
			}},
		}}
		o.SetNamespace(namespace)
		o.SetName(name)
		o.SetUID(types.UID("uid-" + name))
		o.SetLabels(labels)
		return o
	}
	failList := func(f *fakes, resource string, err error) {
		f.metadata.PrependReactor("list", resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no right"))
	for rule, c := range map[string]struct {
		between func(*testing.T, *fakes) // the first scan and the second
		want    string                   // conflicts after the second scan, and its error
	}{
		"no change": {func(*testing.T, *fakes) {}, "[foreign] <nil>"},
		"deleted": {func(t *testing.T, f *fakes) {
			if err := errors.Join(f.metadata.Tracker().Delete(deployments, "orders", "foreign"), f.objects.Tracker().Delete(deployments, "orders", "foreign")); err != nil {
				t.Fatal(err)
			}
		}, "[] <nil>"},
		"deleted while it is read": {func(t *testing.T, f *fakes) {
			if err := f.objects.Tracker().Delete(deployments, "orders", "foreign"); err != nil {
				t.Fatal(err)
			}
		}, "[] <nil>"},
		"owners not read in time":        {func(_ *testing.T, f *fakes) { f.o.Inspector.Owners = unreadOwners{} }, "[foreign] <nil>"},
		"Deployments cannot be listed":   {func(_ *testing.T, f *fakes) { failList(f, "deployments", forbidden) }, "[foreign] list deployments: "},
		"custom resources are forbidden": {func(_ *testing.T, f *fakes) { failList(f, "flinkdeployments", forbidden) }, "[foreign] <nil>"},
		"custom resources are not served": {func(_ *testing.T, f *fakes) {
			failList(f, "flinkdeployments", apierrors.NewNotFound(schema.GroupResource{}, ""))
		}, "[foreign] <nil>"},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, Options{})
				f.create(t, deployments, deployment("orders", "foreign", "team-b"))
				f.create(t, deployments, deployment("orders", "own", "team-a"))
				f.create(t, deployments, deployment("kube-system", "excluded", "team-b"))
				scan := func() string {
					err := f.findConflicts(t.Context())
					names := []string{}
					for o := range f.conflictsOf("Deployment") {
						names = append(names, o.Name)
					}
					slices.Sort(names)
					return fmt.Sprint(names, " ", err)
				}
				if got := scan(); got != "[foreign] <nil>" || len(f.events) != 1 || f.events[0].Name != "foreign" {
					t.Errorf("first scan: %s, events %+v", got, f.events)
				}
				c.between(t, f)
				if got := scan(); !strings.HasPrefix(got, c.want) {
					t.Errorf("second scan: %s, want %s", got, c.want)
				}
			})
		})
	}

	t.Run("owners never read", func(t *testing.T) {
		f := newFakes(t, Options{})
		f.o.Inspector.Owners = unreadOwners{}
		f.create(t, deployments, deployment("orders", "foreign", "team-b"))
		if err := f.findConflicts(t.Context()); err != nil || len(f.conflictsOf("Deployment")) > 0 || len(f.events) > 0 {
			t.Errorf("%v, conflicts %v, events %+v", err, f.conflictsOf("Deployment"), f.events)
		}
	})
}
