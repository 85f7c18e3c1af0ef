// Package listwatch has the source of drey's reflectors and informers: a list is a
// consistent read, and a watch is resumed only if the one before it ran until its timeout.
//
// client-go resumes a watch at the resourceVersion that it has seen last. After etcd was
// restored from a snapshot, that version belongs to a history that is no more: the API
// server accepts a watch from a version that is ahead of its own, and sends nothing until
// it gets there; once it has passed that version, what was different before is never sent.
// A restore takes a restart of the API server, which breaks its watches. So a watch that
// was broken, or that could not be started, is followed by a list.
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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Metadata lists and watches the metadata of a resource in all namespaces. tweak restricts
// what is requested; nil: nothing.
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

// Dynamic lists and watches the objects of a resource in all namespaces.
func Dynamic(client dynamic.Interface, resource schema.GroupVersionResource) cache.ListerWatcher {
	return Consistent(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return client.Resource(resource).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.Resource(resource).Watch(ctx, o)
		},
	}, client)
}

// Consistent makes every list of a source a consistent read, and ends a watch with 410 Gone,
// after which a reflector lists, if the watch before it was broken or if a version is
// behind one that was sent before. It serves one reflector. client tells whether streaming
// lists are supported; see [cache.ToListWatcherWithWatchListSemantics].
func Consistent(source *cache.ListWatch, client any) cache.ListerWatcher {
	c := &consistent{source: source}
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{ListWithContextFunc: c.list, WatchFuncWithContext: c.watch}, client)
}

type consistent struct {
	source *cache.ListWatch

	mu     sync.Mutex
	broken bool      // the next watch may not be resumed
	due    time.Time // when the last watch ends by its timeout; zero: there was none
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
	lists := o.SendInitialEvents != nil && *o.SendInitialEvents
	if lists {
		o.ResourceVersion = ""
	}
	if o.TimeoutSeconds == nil { // without one the end is the API server's choice
		o.TimeoutSeconds = new(minTimeout + rand.Int64N(minTimeout)) //nolint:gosec // it spreads load
	}
	w, err := untilConnected(ctx, func() (watch.Interface, error) {
		if !lists && c.isBroken() {
			return expired(), nil
		}
		due := time.Now().Add(time.Duration(*o.TimeoutSeconds) * time.Second)
		w, err := c.source.WatchWithContext(ctx, o)
		if err == nil || !apierrors.IsTooManyRequests(err) { // which says that the API server is there, and busy
			c.set(err != nil, due)
		}
		return w, err
	})
	if err != nil {
		return nil, err
	}
	seen, _ := strconv.ParseUint(o.ResourceVersion, 10, 64) // zero if there is none
	return ordered(w, seen, lists), nil
}

// untilConnected repeats a request that reaches no API server, every few seconds:
// client-go's own backoff grows to a minute.
func untilConnected[T any](ctx context.Context, request func() (T, error)) (T, error) {
	for {
		result, err := request()
		if _, unreachable := errors.AsType[*url.Error](err); !unreachable {
			return result, err
		}
		klog.FromContext(ctx).V(2).Info("API server not reached: the request is repeated", "error", err)
		select {
		case <-ctx.Done():
			return result, err
		case <-time.After(wait.Jitter(time.Second, 1)):
		}
	}
}

// minTimeout is client-go's, in seconds: its reflectors choose between this and twice as
// much.
const minTimeout = 300

func (c *consistent) set(broken bool, due time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken, c.due = broken, due
}

// isBroken reports whether the last watch ended before its timeout.
func (c *consistent) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken || time.Now().Before(c.due)
}

// checked is a watch whose versions never go back: it ends with 410 Gone instead.
type checked struct {
	source  watch.Interface
	results chan watch.Event
	stop    chan struct{}
	once    sync.Once
}

// ordered passes a watch on. What a streaming list sends first is in no order, and ends
// with a bookmark.
func ordered(source watch.Interface, seen uint64, unordered bool) watch.Interface {
	c := &checked{source: source, results: make(chan watch.Event), stop: make(chan struct{})}
	go c.run(seen, unordered)
	return c
}

func (c *checked) run(seen uint64, unordered bool) {
	defer close(c.results)
	for event := range c.source.ResultChan() {
		version, ok := versionOf(event)
		if event.Type == watch.Bookmark && unordered && ok {
			unordered, seen = false, version
		}
		if ok && !unordered {
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

func (c *checked) ResultChan() <-chan watch.Event { return c.results }

func (c *checked) Stop() {
	c.once.Do(func() {
		close(c.stop)
		c.source.Stop()
	})
}

// expired is a watch of one event: the version that it was to start from is no more.
func expired() watch.Interface {
	results := make(chan watch.Event, 1)
	results <- watch.Event{Type: watch.Error, Object: gone()}
	close(results)
	return watch.NewProxyWatcher(results)
}

func gone() *metav1.Status {
	status := apierrors.NewResourceExpired("the watch was broken: list again").Status()
	return &status
}
