package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
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
	synctest.Test(t, testWriteBesideHangingDelete)
}

func testWriteBesideHangingDelete(t *testing.T) {
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
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	written := make(chan error, 2)
	go func() { _, err := r.Create(ctx, target("b"), nil); written <- err }()
	go func() { _, _, err := r.Put(ctx, target("c"), registry.Precondition{}, nil); written <- err }()
	for range 2 {
		if err := <-written; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("a write: %v after %s, want the end of its context", err, time.Since(began))
		}
	}
	close(store.released)
	if err := <-deleted; err != nil {
		t.Error(err)
	}
}

// sharedStore is a store of several processes. Calls for which hangs holds end with their
// context.
type sharedStore struct {
	registry.Store
	hangs func(key registry.Key, call string) bool
	begun chan struct{}
}

func (s sharedStore) hang(ctx context.Context, key registry.Key, call string) error {
	if !s.hangs(key, call) {
		return nil
	}
	s.begun <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (s sharedStore) List(ctx context.Context, kind registry.Kind, namespace string, c registry.Consistency) ([]registry.Object, error) {
	if err := s.hang(ctx, registry.Key{Kind: kind, Namespace: namespace}, "list"); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, kind, namespace, c)
}

func (s sharedStore) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if err := s.hang(ctx, o.Key(), "create"); err != nil {
		return registry.Object{}, err
	}
	return s.Store.Create(ctx, o)
}

func (s sharedStore) Delete(ctx context.Context, key registry.Key, expected int32) error {
	if err := s.hang(ctx, key, "delete"); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key, expected)
}

func (s sharedStore) Capabilities() registry.Capabilities {
	return registry.Capabilities{SharedWrites: s}
}

func (s sharedStore) DeleteIf(ctx context.Context, key registry.Key, expected int32, check func(context.Context) error) error {
	if err := check(ctx); err != nil {
		return err
	}
	return s.Delete(ctx, key, expected)
}

func (s sharedStore) Confirm(ctx context.Context, key registry.Key, _ string) error {
	_, err := s.Get(ctx, key, registry.Consistent)
	return err
}

// TestSharedStoreNoLock: a hanging write to a shared store blocks no other write.
func TestSharedStoreNoLock(t *testing.T) {
	object := func(kind registry.Kind, name string) registry.Object {
		return registry.Object{Kind: kind, Metadata: registry.Metadata{Namespace: "default", Name: name}, Spec: []byte("{}")}
	}
	writes := map[string]func(ctx context.Context, r *registry.Registry, name string) error{
		"create": func(ctx context.Context, r *registry.Registry, name string) error {
			_, err := r.Create(ctx, object(registry.Deployment, "created-"+name), nil)
			return err
		},
		"put": func(ctx context.Context, r *registry.Registry, name string) error {
			_, _, err := r.Put(ctx, object(registry.Deployment, "put-"+name), registry.Precondition{}, nil)
			return err
		},
		"delete": func(ctx context.Context, r *registry.Registry, name string) error {
			_, err := r.Delete(ctx, object(registry.SessionCluster, name).Key(), registry.Precondition{})
			return err
		},
		"delete namespace": func(ctx context.Context, r *registry.Registry, name string) error {
			_, _, err := r.DeleteNamespace(ctx, name)
			return err
		},
	}
	for which, hangs := range map[string]func(key registry.Key, call string) bool{
		"delete namespace: list": func(k registry.Key, call string) bool { return k.Namespace == "hangs" && call == "list" },
		"delete namespace: delete": func(k registry.Key, call string) bool {
			return k.Kind == registry.Namespace && k.Name == "hangs" && call == "delete"
		},
		"delete": func(k registry.Key, call string) bool { return k.Name == "hangs" && call == "delete" },
		"create": func(k registry.Key, call string) bool { return k.Name == "created-hangs" && call == "create" },
		"put":    func(k registry.Key, call string) bool { return k.Name == "put-hangs" && call == "create" },
	} {
		t.Run(which, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := sharedStore{memstore.New(), hangs, make(chan struct{}, 1)}
				r, err := registry.New(t.Context(), store, registry.Options{Namespaces: []string{"hangs", "goes"}})
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"hangs", "goes"} {
					if _, err := r.Create(t.Context(), object(registry.SessionCluster, name), nil); err != nil {
						t.Fatal(err)
					}
				}
				hour, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				minute, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				write, _, _ := strings.Cut(which, ":")
				hung := make(chan error)
				go func() { hung <- writes[write](hour, r, "hangs") }()
				<-store.begun
				for name, write := range writes {
					if err := write(minute, r, "goes"); err != nil || time.Since(began) != 0 {
						t.Errorf("%s: %v after %s", name, err, time.Since(began))
					}
				}
				if err := <-hung; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour {
					t.Errorf("the one that hangs: %v after %s", err, time.Since(began))
				}
			})
		})
	}
}
