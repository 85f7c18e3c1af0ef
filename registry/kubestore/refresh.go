package kubestore

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// refreshes serializes [Store.Refresh]: calls that wait share the next request.
type refreshes struct {
	semaphore chan struct{} // guards the other fields
	began     time.Time     // of the last request
	err       error         // its result
}

func newRefreshes() refreshes { return refreshes{semaphore: make(chan struct{}, 1)} }

// Refresh waits until the cache has as many objects of a kind as the API server. An object that
// another process created before the call is then in the cache. The error is that of ctx if the
// watch has not delivered it in time.
func (s *Store) Refresh(ctx context.Context, kind registry.Kind) error {
	called := time.Now()
	r := &s.refreshes
	select {
	case r.semaphore <- struct{}{}:
		defer func() { <-r.semaphore }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.began.After(called) && r.err == nil {
		return nil
	}
	r.began = time.Now()
	r.err = s.refresh(ctx, codec.Resources[kind])
	return r.err
}

func (s *Store) refresh(ctx context.Context, r *codec.Resource) error {
	total, err := s.count(ctx, r)
	if err != nil {
		return err
	}
	if err := s.wait(ctx, func() bool { return s.kinds[r.Kind] >= total }); err != nil {
		return fmt.Errorf("the watch of %s is behind the API server: %w", r.Plural, err)
	}
	return nil
}

// count returns the number of objects of a kind, by a consistent read of one of them.
func (s *Store) count(ctx context.Context, r *codec.Resource) (int, error) {
	namespace, into := s.options.PlatformNamespace, r.NewList()
	err := s.call(ctx, "count "+r.Plural, func(ctx context.Context) error {
		return s.request("GET").NamespaceIfScoped(namespace, namespace != "").Resource(r.Plural).VersionedParams(&metav1.ListOptions{Limit: 1}, metav1.ParameterCodec).Do(ctx).Into(into)
	})
	if err != nil {
		return 0, err
	}
	n := meta.LenList(into)
	if list, err := meta.ListAccessor(into); err == nil && list.GetRemainingItemCount() != nil {
		n += int(*list.GetRemainingItemCount())
	}
	return n, nil
}
