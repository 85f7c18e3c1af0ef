package listwatch

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

// apiServer is a fake API server for one resource, with a history that a restore replaces.
type apiServer struct {
	streaming bool // serves streaming lists

	mu       sync.Mutex
	fail     error             // of all requests
	objects  map[string]string // resourceVersion by name
	version  string
	events   *watch.RaceFreeFakeWatcher
	requests []string // list, stream, or watch with its resourceVersion
}

// IsWatchListSemanticsUnSupported implements an interface of client-go.
func (s *apiServer) IsWatchListSemanticsUnSupported() bool { return !s.streaming }

func (s *apiServer) source() *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.fail != nil {
				return nil, s.fail
			}
			s.requests = append(s.requests, "list")
			list := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: s.version}}
			for name, version := range s.objects {
				list.Items = append(list.Items, *named(name, version))
			}
			return list, nil
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.fail != nil {
				return nil, s.fail
			}
			s.events = watch.NewRaceFreeFake()
			time.AfterFunc(time.Duration(*o.TimeoutSeconds)*time.Second, s.events.Stop)
			if o.SendInitialEvents == nil {
				s.requests = append(s.requests, "watch "+o.ResourceVersion)
				return s.events, nil
			}
			s.requests = append(s.requests, "stream"+o.ResourceVersion)
			for name, version := range s.objects {
				s.events.Add(named(name, version))
			}
			end := named("", s.version)
			end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
			s.events.Action(watch.Bookmark, end)
			return s.events, nil
		},
	}
}

func named(name, version string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"}, ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}
}

func (s *apiServer) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// restore replaces the history by an older one: b exists, a does not.
func (s *apiServer) restore() {
	s.objects, s.version = map[string]string{"b": "4"}, "5"
}

// received returns the requests since the last call.
func (s *apiServer) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.requests, ", ")
	s.requests = nil
	return all
}

// TestReflector checks which requests a reflector makes after its watch has ended, and that its
// store has the objects of the API server then.
func TestReflector(t *testing.T) {
	for rule, c := range map[string]struct {
		end      func(*apiServer)
		after    time.Duration
		want     string // objects
		requests string // L is a list: streaming, or followed by a watch
	}{
		"restore of etcd": {func(s *apiServer) { s.restore(); s.events.Stop() }, 10 * time.Second, "b", "L5"},
		"410 Gone":        {func(s *apiServer) { s.restore(); s.events.Error(gone()) }, 10 * time.Second, "b", "L5"},
		"internal error": {func(s *apiServer) {
			s.restore()
			status := apierrors.NewInternalError(errors.New("etcd")).Status()
			s.events.Error(&status)
		}, 10 * time.Second, "b", "L5"},
		"event of an older version":    {func(s *apiServer) { s.restore(); s.events.Add(named("b", "4")) }, 10 * time.Second, "b", "L5"},
		"bookmark of an older version": {func(s *apiServer) { s.restore(); s.events.Action(watch.Bookmark, named("", "5")) }, 10 * time.Second, "b", "L5"},
		"timeout of the watch":         {func(*apiServer) {}, 2 * minTimeout * time.Second, "a", "watch 10"},
		"timeout after an event":       {func(s *apiServer) { s.objects["c"] = "11"; s.events.Add(named("c", "11")) }, 2 * minTimeout * time.Second, "a c", "watch 11"},
		"timeout after a bookmark":     {func(s *apiServer) { s.events.Action(watch.Bookmark, named("", "12")) }, 2 * minTimeout * time.Second, "a", "watch 12"},
		"API server unreachable, restored": {func(s *apiServer) {
			s.fail = &url.Error{Op: "Get", Err: errors.New("connection refused")}
			s.events.Stop()
			time.AfterFunc(10*time.Minute, func() { s.do(func() { s.fail = nil; s.restore() }) })
		}, 10*time.Minute + 2*time.Second, "b", "L5"},
	} {
		for _, streaming := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streaming %t", rule, streaming), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &apiServer{streaming: streaming, objects: map[string]string{"a": "9"}, version: "10"}
					lists := map[bool]string{true: "stream", false: "list, watch 10"}
					store := cache.NewStore(cache.MetaNamespaceKeyFunc)
					go cache.NewReflectorWithOptions(Consistent(s.source(), s), &metav1.PartialObjectMetadata{}, store, cache.ReflectorOptions{}).RunWithContext(t.Context())
					synctest.Wait()
					if got := s.received(); got != lists[streaming] || fmt.Sprint(store.ListKeys()) != "[a]" {
						t.Fatalf("at first: %s; objects %v", got, store.ListKeys())
					}
					s.do(func() { c.end(s) })
					time.Sleep(c.after)
					synctest.Wait()
					want := strings.ReplaceAll(c.requests, "L5", strings.ReplaceAll(lists[streaming], "10", "5"))
					if got := s.received(); got != want {
						t.Errorf("requests %q, want %q", got, want)
					}
					keys := store.ListKeys()
					if slices.Sort(keys); strings.Join(keys, " ") != c.want {
						t.Errorf("objects %v, want %s", keys, c.want)
					}
				})
			})
		}
	}
}

// TestStop checks that a watch that nobody reads ends with Stop, also if it is called twice.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := watch.NewFake()
		w := newMonotonic(source, 0, false)
		go source.Add(at("1"))
		synctest.Wait()
		w.Stop()
		w.Stop()
		synctest.Wait()
		if _, more := <-w.ResultChan(); more || !source.IsStopped() {
			t.Errorf("event after Stop: %t; source stopped: %t", more, source.IsStopped())
		}
	})
}

// TestOptions checks the options of each request and what lists are trimmed of.
func TestOptions(t *testing.T) {
	resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	labeled := func(o *metav1.ListOptions) { o.LabelSelector = "system=x" }
	object := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"namespace": "flink", "name": "a", "labels": map[string]any{"system": "x"}}, "spec": map[string]any{"replicas": int64(1)},
		}}
	}
	trim := func(u *unstructured.Unstructured) { delete(u.Object, "spec") }
	for rule, c := range map[string]struct {
		tweak func(*metav1.ListOptions)
		want  string
	}{"no tweak": {nil, ""}, "tweak": {labeled, "system=x"}} {
		for client, lister := range map[string]func() (cache.ListerWatcher, *clienttesting.Fake){
			"metadata": func() (cache.ListerWatcher, *clienttesting.Fake) {
				client := metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())
				return Metadata(client, resource, c.tweak), &client.Fake
			},
			"dynamic": func() (cache.ListerWatcher, *clienttesting.Fake) {
				client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{resource: "DeploymentList"}, object())
				return Dynamic(client, resource, c.tweak, trim), &client.Fake
			},
		} {
			t.Run(client+", "+rule, func(t *testing.T) {
				lw, fake := lister()
				lists := cache.ToListerWatcherWithContext(lw)
				list, err := lists.ListWithContext(t.Context(), metav1.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if u, ok := list.(*unstructured.UnstructuredList); ok && (len(u.Items) != 1 || u.Items[0].Object["spec"] != nil) {
					t.Errorf("list: %v", u.Items)
				}
				w, err := lists.WatchWithContext(t.Context(), metav1.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				w.Stop()
				actions := fake.Actions()
				if len(actions) != 2 {
					t.Fatalf("requests %v", actions)
				}
				listed, watched := actions[0].(clienttesting.ListActionImpl), actions[1].(clienttesting.WatchActionImpl)
				if listed.ListRestrictions.Labels.String() != c.want || watched.WatchRestrictions.Labels.String() != c.want {
					t.Errorf("list of %q, watch of %q, want %q", listed.ListRestrictions.Labels, watched.WatchRestrictions.Labels, c.want)
				}
				if seconds := *watched.ListOptions.TimeoutSeconds; seconds < minTimeout || seconds >= 2*minTimeout {
					t.Errorf("timeout %d s, want %d s to double of it", seconds, minTimeout)
				}
				fake.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(resource.GroupResource(), "", errors.New("no right"))
				})
				if _, err := lists.ListWithContext(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
					t.Errorf("forbidden list: %v", err)
				}
			})
		}
	}
}
