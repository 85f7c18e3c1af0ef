// Package listwatch provides the [cache.ListerWatcher] of drey's reflectors and informers:
// its lists are consistent reads, and it resumes a watch only if the previous one ran until
// its timeout. So caches stay correct after etcd is restored from a snapshot.
//
// A client-go reflector resumes a watch at the last resourceVersion that it has received.
// After a restore that version belongs to a discarded history. The API server accepts a
// watch from a future version, sends no events until it reaches that version, and never
// sends the changes before it. A restore requires a restart of the API server, which breaks
// all watches: therefore a broken watch, or one that could not start, is followed by a list.
package listwatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Metadata lists and watches the metadata of a resource in all namespaces. tweak modifies
// the options of each request; it may be nil.
func Metadata(client metadata.Interface, resource schema.GroupVersionResource, tweak func(*metav1.ListOptions)) cache.ListerWatcher {
	return Consistent(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if tweak != nil {
				tweak(&o)
			}
			return client.Resource(resource).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if tweak != nil {
				tweak(&o)
			}
			return client.Resource(resource).Watch(ctx, o)
		},
	}, client)
}

// Dynamic lists and watches the objects of a resource in all namespaces. tweak modifies the
// options of each request; it may be nil. trim removes from a listed object what the caller does
// not read: a reflector holds all pages of a list before it transforms the first object.
func Dynamic(client dynamic.Interface, resource schema.GroupVersionResource, tweak func(*metav1.ListOptions), trim func(*unstructured.Unstructured)) cache.ListerWatcher {
	return Consistent(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if tweak != nil {
				tweak(&o)
			}
			list, err := client.Resource(resource).List(ctx, o)
			if err != nil {
				return nil, err
			}
			for i := range list.Items {
				trim(&list.Items[i])
			}
			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if tweak != nil {
				tweak(&o)
			}
			return client.Resource(resource).Watch(ctx, o)
		},
	}, client)
}

// Consistent wraps a source for one reflector: lists become consistent reads, and a watch
// ends with 410 Gone, which makes the reflector list, if the previous watch was broken or a
// resourceVersion decreases. client determines whether streaming lists are supported; see
// [cache.ToListWatcherWithWatchListSemantics].
func Consistent(source *cache.ListWatch, client any) cache.ListerWatcher {
	c := &consistent{source: source}
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{ListWithContextFunc: c.list, WatchFuncWithContext: c.watch}, client)
}

type consistent struct {
	source *cache.ListWatch

	mu       sync.Mutex
	broken   bool      // the next watch must not be resumed
	deadline time.Time // end of the last watch by its timeout; zero if there was none
}

func (c *consistent) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if o.Continue == "" {
		o.ResourceVersion, o.ResourceVersionMatch = "", ""
	}
	list, err := untilConnected(ctx, func() (runtime.Object, error) { return c.source.ListWithContext(ctx, o) })
	if err == nil {
		c.set(false, time.Time{})
	}
	return list, err
}

func (c *consistent) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	streaming := o.SendInitialEvents != nil && *o.SendInitialEvents
	if streaming {
		o.ResourceVersion = ""
	}
	if o.TimeoutSeconds == nil { // otherwise the API server chooses it
		o.TimeoutSeconds = new(minTimeout + rand.Int64N(minTimeout)) //nolint:gosec // jitter
	}
	w, err := untilConnected(ctx, func() (watch.Interface, error) {
		if !streaming && c.isBroken() {
			return expired(), nil
		}
		deadline := time.Now().Add(time.Duration(*o.TimeoutSeconds) * time.Second)
		w, err := c.source.WatchWithContext(ctx, o)
		if err == nil || !apierrors.IsTooManyRequests(err) { // 429 comes from a running API server
			c.set(err != nil, deadline)
		}
		return w, err
	})
	if err != nil {
		return nil, err
	}
	seen, _ := strconv.ParseUint(o.ResourceVersion, 10, 64) // zero if there is none
	return newMonotonic(w, seen, streaming), nil
}

// untilConnected repeats a request every one to two seconds until it reaches an API server.
// The backoff of client-go grows to a minute.
func untilConnected[T any](ctx context.Context, request func() (T, error)) (T, error) {
	for {
		result, err := request()
		if _, unreachable := errors.AsType[*url.Error](err); !unreachable {
			return result, err
		}
		klog.FromContext(ctx).V(2).Info("API server unreachable: will retry", "error", err)
		select {
		case <-ctx.Done():
			return result, err
		case <-time.After(wait.Jitter(time.Second, 1)):
		}
	}
}

// minTimeout is the default of client-go's reflectors, in seconds. They choose a timeout
// between it and its double.
const minTimeout = 300

func (c *consistent) set(broken bool, deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken, c.deadline = broken, deadline
}

// isBroken reports whether the last watch ended before its timeout.
func (c *consistent) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken || time.Now().Before(c.deadline)
}

// monotonic is a watch that ends with 410 Gone if a resourceVersion decreases.
type monotonic struct {
	source  watch.Interface
	results chan watch.Event
	stop    chan struct{}
	once    sync.Once
}

// newMonotonic wraps a watch. The initial events of a streaming list are unordered and end
// with a bookmark.
func newMonotonic(source watch.Interface, seen uint64, streaming bool) watch.Interface {
	c := &monotonic{source: source, results: make(chan watch.Event), stop: make(chan struct{})}
	go c.run(seen, streaming)
	return c
}

func (c *monotonic) run(seen uint64, streaming bool) {
	defer close(c.results)
	for event := range c.source.ResultChan() {
		version, ok := versionOf(event)
		if event.Type == watch.Bookmark && streaming && ok {
			streaming, seen = false, version
		}
		if ok && !streaming {
			if version < seen {
				event = watch.Event{Type: watch.Error, Object: gone()}
			}
			seen = version
		}
		select {
		case c.results <- event:
		case <-c.stop:
			return
		}
		if event.Type == watch.Error {
			return
		}
	}
}

func versionOf(e watch.Event) (version uint64, ok bool) {
	if e.Type == watch.Error {
		return 0, false
	}
	m, err := meta.Accessor(e.Object)
	if err != nil {
		return 0, false
	}
	version, err = strconv.ParseUint(m.GetResourceVersion(), 10, 64)
	return version, err == nil
}

func (c *monotonic) ResultChan() <-chan watch.Event { return c.results }

func (c *monotonic) Stop() {
	c.once.Do(func() {
		close(c.stop)
		c.source.Stop()
	})
}

// expired returns a watch that sends 410 Gone and ends.
func expired() watch.Interface {
	results := make(chan watch.Event, 1)
	results <- watch.Event{Type: watch.Error, Object: gone()}
	close(results)
	return watch.NewProxyWatcher(results)
}

func gone() *metav1.Status {
	status := apierrors.NewResourceExpired("watch was interrupted: list again").Status()
	return &status
}
