package registry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

// hanging is a store whose deletions do not end before released is closed.
type hanging struct {
	registry.Store
	begun, released chan struct{}
}

func (h hanging) Delete(ctx context.Context, key registry.Key, expected int32) error {
	close(h.begun)
	<-h.released
	return h.Store.Delete(ctx, key, expected)
}

// TestWriteBesideHangingDelete: waiting for another write ends with the context.
func TestWriteBesideHangingDelete(t *testing.T) {
	store := hanging{memstore.New(), make(chan struct{}), make(chan struct{})}
	r, err := registry.New(t.Context(), store, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	target := func(name string) registry.Object {
		return registry.Object{Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: registry.DefaultNamespace, Name: name}, Spec: []byte(`{"kubernetes":{"namespace":"a"}}`)}
	}
	if _, err := r.Create(t.Context(), target("a"), nil); err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error)
	go func() {
		_, err := r.Delete(context.WithoutCancel(t.Context()), target("a").Key(), registry.Precondition{})
		deleted <- err
	}()
	<-store.begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	written := make(chan error, 2)
	go func() { _, err := r.Create(ctx, target("b"), nil); written <- err }()
	go func() { _, _, err := r.Put(ctx, target("c"), registry.Precondition{}, nil); written <- err }()
	for range 2 {
		select {
		case err := <-written:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a write: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("a write waits beyond the end of its context")
		}
	}
	close(store.released)
	if err := <-deleted; err != nil {
		t.Error(err)
	}
}
