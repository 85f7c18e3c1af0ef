package owners

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	discoveryfake "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/webhook/flink"
)

// fakes are Owners with fake clients. The informers do not run, so each lookup that is not
// cached is a call.
type fakes struct {
	*Owners
	metadata  *metadatafake.FakeMetadataClient
	dynamic   *dynamicfake.FakeDynamicClient
	discovery *discoveryfake.FakeDiscovery
}

// newFakes returns a cluster with objects from lines such as
//
//	apps/v1/ReplicaSet/nuts-5c7d uid-rs < argoproj.io/v1alpha1/Rollout/nuts/uid-rollout
//
// whose last part is the controller of the first.
func newFakes(t *testing.T, lines ...string) *fakes {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var metadata, objects []runtime.Object
	for _, line := range lines {
		m := metadataOf(t, line)
		metadata = append(metadata, m)
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(m)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: object})
	}
	f := &fakes{
		metadata:  metadatafake.NewSimpleMetadataClient(scheme, metadata...),
		dynamic:   dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), objects...),
		discovery: &discoveryfake.FakeDiscovery{Fake: &clienttesting.Fake{}},
	}
	f.discovery.Resources = []*metav1.APIResourceList{
		{GroupVersion: "argoproj.io/v1alpha1", APIResources: []metav1.APIResource{
			{Name: "rollouts/status", Kind: "Rollout", Namespaced: true}, {Name: "rollouts", Kind: "Rollout", Namespaced: true}, {Name: "workflows", Kind: "Workflow", Namespaced: true},
		}},
		{GroupVersion: "example.com/v1", APIResources: []metav1.APIResource{{Name: "apps", Kind: "App", Namespaced: true}, {Name: "tenants", Kind: "Tenant"}}},
	}
	var err error
	if f.Owners, err = newOwners(f.metadata, f.dynamic, f.discovery, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return f
}

func metadataOf(t *testing.T, line string) *metav1.PartialObjectMetadata {
	t.Helper()
	object, owner, owned := strings.Cut(line, " < ")
	path, uid, ok := strings.Cut(object, " ")
	if !ok {
		t.Fatalf("%q has no uid", line)
	}
	ref := referenceTo(path + "/" + uid)
	m := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: ref.APIVersion, Kind: ref.Kind}, ObjectMeta: metav1.ObjectMeta{Namespace: "flink", Name: ref.Name, UID: types.UID(uid)}}
	if ref.Kind == "Tenant" {
		m.Namespace = ""
	}
	if owned {
		above, yes := referenceTo(owner), true
		m.OwnerReferences = []metav1.OwnerReference{{APIVersion: above.APIVersion, Kind: above.Kind, Name: above.Name, UID: types.UID(above.UID), Controller: &yes}}
	}
	return m
}

// referenceTo parses group/version/Kind/name/uid, without a group for the core API.
func referenceTo(path string) flink.OwnerReference {
	p := strings.Split(path, "/")
	n := len(p)
	return flink.OwnerReference{APIVersion: strings.Join(p[:n-3], "/"), Kind: p[n-3], Name: p[n-2], UID: p[n-1], Controller: true}
}

// calls returns the number of requests since the last call.
func (f *fakes) calls() int {
	n := len(f.metadata.Actions()) + len(f.dynamic.Actions()) + len(f.discovery.Actions())
	f.metadata.ClearActions()
	f.dynamic.ClearActions()
	f.discovery.ClearActions()
	return n
}

func (f *fakes) forbid(resource string) {
	f.metadata.PrependReactor("get", resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", fmt.Errorf("no right"))
	})
}

// podOf returns a pod of a controller. hash is the pod-template-hash; empty: none.
func podOf(owner, hash string) *flink.Object {
	o := &flink.Object{Kind: "Pod", Namespace: "flink", Labels: map[string]string{}, OwnerReferences: []flink.OwnerReference{referenceTo(owner)}}
	if hash != "" {
		o.Labels["pod-template-hash"] = hash
	}
	o.Pod.Labels = o.Labels
	return o
}

// chain formats owners: ~ marks unresolved ones, ? an incomplete chain.
func chain(owners []flink.Owner, complete bool) string {
	var all []string
	for _, o := range owners {
		mark := ""
		if o.Unresolved {
			mark = "~"
		}
		all = append(all, mark+o.Kind+" "+o.Name+" "+o.UID)
	}
	if !complete {
		all = append(all, "?")
	}
	return strings.Join(all, ", ")
}

func TestOwnersOf(t *testing.T) {
	const (
		rollout    = "argoproj.io/v1alpha1/Rollout/nuts/uid-rollout"
		replicaSet = "apps/v1/ReplicaSet/nuts-5c7d/uid-rs"
		of         = "apps/v1/ReplicaSet/nuts-5c7d uid-rs < "
	)
	for rule, c := range map[string]struct {
		cluster []string
		owner   string
		hash    string
		forbid  string
		want    string
	}{
		"controller of a ReplicaSet":                      {[]string{of + rollout, "argoproj.io/v1alpha1/Rollout/nuts uid-rollout"}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs, Rollout nuts uid-rollout"},
		"controller of a Rollout":                         {[]string{of + rollout, "argoproj.io/v1alpha1/Rollout/nuts uid-rollout < example.com/v1/App/shop/uid-app", "example.com/v1/App/shop uid-app"}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs, Rollout nuts uid-rollout, App shop uid-app"},
		"cluster-scoped owner":                            {[]string{of + "example.com/v1/Tenant/a/uid-tenant", "example.com/v1/Tenant/a uid-tenant"}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs, Tenant a uid-tenant"},
		"forbidden owner is the root":                     {[]string{of + rollout, "argoproj.io/v1alpha1/Rollout/nuts uid-rollout"}, replicaSet, "", "rollouts", "ReplicaSet nuts-5c7d uid-rs, ~Rollout nuts uid-rollout"},
		"owner of a kind that is not served":              {[]string{of + "argoproj.io/v1alpha1/Experiment/nuts/uid-x"}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs, ~Experiment nuts uid-x"},
		"owner of a group that is not served":             {[]string{of + "other.example.com/v1/App/nuts/uid-x"}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs, ~App nuts uid-x"},
		"invalid apiVersion":                              {nil, "../v1/App/nuts/uid-x", "", "", "~App nuts uid-x"},
		"deleted owner":                                   {[]string{of + rollout}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs, ~Rollout nuts uid-rollout, ?"},
		"owner with another UID":                          {[]string{of + rollout, "argoproj.io/v1alpha1/Rollout/nuts uid-other"}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs, ~Rollout nuts uid-rollout, ?"},
		"deleted ReplicaSet":                              {nil, replicaSet, "", "", "~ReplicaSet nuts-5c7d uid-rs, ?"},
		"ReplicaSet without a controller":                 {[]string{"apps/v1/ReplicaSet/nuts-5c7d uid-rs"}, replicaSet, "", "", "ReplicaSet nuts-5c7d uid-rs"},
		"Deployment by the name of its ReplicaSet":        {[]string{"apps/v1/Deployment/nuts uid-d"}, replicaSet, "5c7d", "", "Deployment nuts uid-d"},
		"controller of a Deployment":                      {[]string{"apps/v1/Deployment/nuts uid-d < example.com/v1/App/shop/uid-app", "example.com/v1/App/shop uid-app"}, replicaSet, "5c7d", "", "Deployment nuts uid-d, App shop uid-app"},
		"ReplicaSet with a hash and without a Deployment": {[]string{of + rollout, "argoproj.io/v1alpha1/Rollout/nuts uid-rollout"}, replicaSet, "5c7d", "", "ReplicaSet nuts-5c7d uid-rs, Rollout nuts uid-rollout"},
		"DaemonSet": {[]string{"apps/v1/DaemonSet/nuts uid-ds"}, "apps/v1/DaemonSet/nuts/uid-ds", "", "", "DaemonSet nuts uid-ds"},
		"ReplicationController that is not served": {nil, "v1/ReplicationController/nuts/uid-rc", "", "", "~ReplicationController nuts uid-rc"},
		"controller of a Job":                      {[]string{"batch/v1/Job/nuts uid-j < argoproj.io/v1alpha1/Workflow/w/uid-w", "argoproj.io/v1alpha1/Workflow/w uid-w"}, "batch/v1/Job/nuts/uid-j", "", "", "Job nuts uid-j, Workflow w uid-w"},
		"Job of another group":                     {[]string{"batch/v1/Job/nuts uid-j"}, "batch.volcano.sh/v1alpha1/Job/nuts/uid-v", "", "", "~Job nuts uid-v"},
		"cycle of owners":                          {[]string{"example.com/v1/App/a uid-a < example.com/v1/App/b/uid-b", "example.com/v1/App/b uid-b < example.com/v1/App/a/uid-a"}, "example.com/v1/App/a/uid-a", "", "", strings.Repeat("App a uid-a, App b uid-b, ", 4) + "?"},
		"other owner of a FlinkDeployment":         {[]string{"flink.apache.org/v1beta1/FlinkDeployment/f uid-f < example.com/v1/App/shop/uid-app"}, "flink.apache.org/v1beta1/FlinkDeployment/f/uid-f", "", "", "FlinkDeployment f uid-f"},
	} {
		t.Run(rule, func(t *testing.T) {
			f := newFakes(t, c.cluster...)
			if c.forbid != "" {
				f.forbid(c.forbid)
			}
			for range 2 { // the second time from the cache
				if got := chain(f.Of(t.Context(), podOf(c.owner, c.hash))); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			}
		})
	}
}

// TestOwnersOfCustomResource checks that only a Flink custom resource is an owner of one.
func TestOwnersOfCustomResource(t *testing.T) {
	f := newFakes(t, "example.com/v1/App/shop uid-app", "flink.apache.org/v1beta1/FlinkBlueGreenDeployment/b uid-b")
	for owner, want := range map[string]string{
		"example.com/v1/App/shop/uid-app":                           "",
		"flink.apache.org/v1beta1/FlinkBlueGreenDeployment/b/uid-b": "FlinkBlueGreenDeployment b uid-b",
	} {
		o := podOf(owner, "")
		o.Kind = "FlinkDeployment"
		if got := chain(f.Of(t.Context(), o)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestOwnersOfCalls counts the API requests for pods of one owner.
func TestOwnersOfCalls(t *testing.T) {
	f := newFakes(t, "apps/v1/ReplicaSet/nuts-5c7d uid-rs < argoproj.io/v1alpha1/Rollout/nuts/uid-rollout", "argoproj.io/v1alpha1/Rollout/nuts uid-rollout")
	f.forbid("rollouts")
	pod := podOf("apps/v1/ReplicaSet/nuts-5c7d/uid-rs", "")
	f.Of(t.Context(), pod)
	if n := f.calls(); n != 3 { // the ReplicaSet with its selector, the kind Rollout, the Rollout
		t.Errorf("the first pod of a ReplicaSet takes %d calls, want 3", n)
	}
	for range 100 {
		f.Of(t.Context(), pod)
	}
	if n := f.calls(); n != 0 {
		t.Errorf("100 more pods take %d calls", n)
	}
	f.Of(t.Context(), podOf("argoproj.io/v1alpha1/Rollout/another/uid-another", ""))
	if n := f.calls(); n != 0 {
		t.Errorf("another forbidden Rollout takes %d calls", n)
	}
}

// TestOwnersOfAbsentController checks that the selector of a ReplicaSet is read although an
// earlier pod, such as one of a dry run, named the ReplicaSet in another namespace.
func TestOwnersOfAbsentController(t *testing.T) {
	f := newFakes(t)
	pod := podOf("apps/v1/ReplicaSet/nuts/uid-rs", "")
	elsewhere := *pod
	elsewhere.Namespace = "other"
	f.Of(t.Context(), &elsewhere)
	withSelector := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"selector": map[string]any{"matchExpressions": []any{
		map[string]any{"key": "deploymentId", "operator": "DoesNotExist"},
	}}}}}
	withSelector.SetAPIVersion("apps/v1")
	withSelector.SetKind("ReplicaSet")
	withSelector.SetName("nuts")
	withSelector.SetNamespace("flink")
	withSelector.SetUID("uid-rs")
	resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	if _, err := f.dynamic.Resource(resource).Namespace("flink").Create(t.Context(), withSelector, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	owners, complete := f.Of(t.Context(), pod)
	if !complete || len(owners) != 1 || fmt.Sprint(owners[0].ExcludedKeys) != "[deploymentId]" {
		t.Errorf("complete %t: %+v; want the excluded key deploymentId", complete, owners)
	}
}
