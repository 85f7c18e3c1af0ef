package registry_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/memstore"
)

const quota = 64 << 10

// sized is a Deployment whose Size is n.
func sized(namespace, name string, n int) registry.Object {
	o := registry.Object{Kind: registry.Deployment, Metadata: registry.Metadata{Namespace: namespace, Name: name}, Spec: []byte(`{"x":""}`)}
	o.Spec = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", n-int(o.Size())))
	return o
}

// TestQuota holds every store to the quota of a platform namespace.
func TestQuota(t *testing.T) {
	create := func(o registry.Object) func(context.Context, *registry.Registry) error {
		return func(ctx context.Context, r *registry.Registry) error { _, err := r.Create(ctx, o, nil); return err }
	}
	put := func(o registry.Object) func(context.Context, *registry.Registry) error {
		return func(ctx context.Context, r *registry.Registry) error {
			_, _, err := r.Put(ctx, o, registry.Precondition{}, nil)
			return err
		}
	}
	remove := func(name string) func(context.Context, *registry.Registry) error {
		return func(ctx context.Context, r *registry.Registry) error {
			_, err := r.Delete(ctx, registry.Key{Kind: registry.Deployment, Namespace: "team-a", Name: name}, registry.Precondition{})
			return err
		}
	}
	labeled := sized("team-a", "a", 30<<10)
	labeled.Metadata.Labels = map[string]string{"team": strings.Repeat("x", 10<<10)}
	token := registry.Object{Kind: registry.APIToken, Metadata: registry.Metadata{Namespace: "team-a", Name: "t"}, Spec: sized("", "", 10<<10).Spec}
	everywhere := token
	everywhere.Metadata.Namespace = registry.Everywhere
	big := target("team-a", "t", "flink")
	big.Metadata.Annotations = map[string]string{"x": strings.Repeat("x", 10<<10)}

	// Each case begins with two Deployments of 30 KiB in team-a, whose quota is 64 KiB.
	for rule, c := range map[string]struct {
		before  []func(context.Context, *registry.Registry) error
		write   func(context.Context, *registry.Registry) error
		refused bool
	}{
		"a new object within it":         {write: create(sized("team-a", "c", 4<<10))},
		"a new object beyond it":         {write: create(sized("team-a", "c", 4<<10+1)), refused: true},
		"a PUT that makes one beyond it": {write: put(sized("team-a", "c", 4<<10+1)), refused: true},
		"an update within it":            {write: put(sized("team-a", "a", 34<<10))},
		"an update beyond it":            {write: put(sized("team-a", "a", 34<<10+1)), refused: true},
		"labels count":                   {write: put(labeled), refused: true},
		"a target counts":                {write: create(big), refused: true},
		"a token counts":                 {write: create(token), refused: true},
		"a token for all does not":       {write: create(everywhere)},
		"another platform namespace":     {write: create(sized("team-b", "c", 60<<10))},
		"after an update that shrinks":   {before: []func(context.Context, *registry.Registry) error{put(sized("team-a", "a", 20<<10))}, write: create(sized("team-a", "c", 14<<10))},
		"no more than it shrinks":        {before: []func(context.Context, *registry.Registry) error{put(sized("team-a", "a", 20<<10))}, write: create(sized("team-a", "c", 14<<10+1)), refused: true},
		"after a deletion":               {before: []func(context.Context, *registry.Registry) error{remove("a")}, write: create(sized("team-a", "c", 34<<10))},
		"no more than was deleted":       {before: []func(context.Context, *registry.Registry) error{remove("a")}, write: create(sized("team-a", "c", 34<<10+1)), refused: true},
		"after a write that was refused": {before: []func(context.Context, *registry.Registry) error{create(sized("team-a", "a", 2<<10))}, write: create(sized("team-a", "c", 4<<10))},
		"a write that changes nothing":   {write: put(sized("team-a", "a", 30<<10))},
		"kubectl, within it": {write: func(_ context.Context, r *registry.Registry) error {
			return r.AllowGrowth(sized("team-a", "c", 2<<10), 4<<10)
		}},
		"kubectl, beyond it": {write: func(_ context.Context, r *registry.Registry) error {
			return r.AllowGrowth(sized("team-a", "c", 2<<10), 4<<10+1)
		}, refused: true},
		"kubectl reserves nothing": {before: []func(context.Context, *registry.Registry) error{func(_ context.Context, r *registry.Registry) error {
			return r.AllowGrowth(sized("team-a", "c", 2<<10), 4<<10)
		}}, write: create(sized("team-a", "c", 4<<10))},
		"kubectl may shrink what is beyond": {write: func(_ context.Context, r *registry.Registry) error {
			return r.AllowGrowth(sized("team-a", "a", 2<<10), -1)
		}},
	} {
		for kind, open := range map[string]func(t *testing.T) registry.Store{
			"memory": func(*testing.T) registry.Store { return memstore.New() },
			"embedded": func(t *testing.T) registry.Store {
				s, err := boltstore.Open(filepath.Join(t.TempDir(), "registry.db"))
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
		} {
			for _, restarted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/restarted=%t", rule, kind, restarted), func(t *testing.T) {
					store := open(t)
					defer store.Close()
					r := limited(t, store, quota)
					for _, step := range append([]func(context.Context, *registry.Registry) error{create(sized("team-a", "a", 30<<10)), create(sized("team-a", "b", 30<<10))}, c.before...) {
						if err := step(t.Context(), r); err != nil && registry.ReasonOf(err) != registry.ReasonAlreadyExists {
							t.Fatal(err)
						}
					}
					if restarted {
						r = limited(t, store, quota)
					}
					err := c.write(t.Context(), r)
					if refused := registry.ReasonOf(err) == registry.ReasonQuotaExceeded; refused != c.refused || err != nil && !refused {
						t.Errorf("got %v, want a refusal: %t", err, c.refused)
					}
				})
			}
		}
	}
}

func limited(t *testing.T, s registry.Store, quota int64) *registry.Registry {
	t.Helper()
	r, err := registry.New(t.Context(), s, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a", "team-b"}, Quota: quota})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLoweredQuota: what is beyond a quota that was lowered may shrink and go.
func TestLoweredQuota(t *testing.T) {
	store := memstore.New()
	r := limited(t, store, 0)
	for _, name := range []string{"a", "b"} {
		if _, err := r.Create(t.Context(), sized("team-a", name, 40<<10), nil); err != nil {
			t.Fatal(err)
		}
	}
	r = limited(t, store, quota)
	relabeled := sized("team-a", "a", 30<<10)
	relabeled.Metadata.Labels = map[string]string{"team": "nuts"}
	if _, _, err := r.Put(t.Context(), relabeled, registry.Precondition{}, nil); err != nil {
		t.Errorf("an update that shrinks: %v", err)
	}
	_, err := r.Create(t.Context(), sized("team-a", "c", 2<<10), nil)
	const want = `Deployment "c" in platform namespace "team-a" takes 2.0 KiB more, and platform namespace "team-a" uses 70.0 KiB of its quota of 64.0 KiB: ` +
		`delete objects in it or make them smaller, or raise the flag --platform-namespace-quota of drey serve`
	if registry.ReasonOf(err) != registry.ReasonQuotaExceeded || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := r.Delete(t.Context(), sized("team-a", "b", 2<<10).Key(), registry.Precondition{}); err != nil {
		t.Errorf("a deletion: %v", err)
	}
	if _, err := r.Create(t.Context(), sized("team-a", "c", 30<<10), nil); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestQuotaOfParallelWrites: writes in flight count, once.
func TestQuotaOfParallelWrites(t *testing.T) {
	r := limited(t, memstore.New(), quota)
	var wait sync.WaitGroup
	var mu sync.Mutex
	written := 0
	for i := range 200 {
		wait.Go(func() {
			_, err := r.Create(t.Context(), sized("team-a", fmt.Sprint("d", i), 2<<10), nil)
			if err != nil && registry.ReasonOf(err) != registry.ReasonQuotaExceeded {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				written++
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if written != 32 {
		t.Errorf("%d of 2 KiB were written, want the 32 that 64 KiB hold", written)
	}
}

// TestQuotaOfAStoreThatHoldsMore: what a store says that it holds counts, beside writes in flight.
func TestQuotaOfAStoreThatHoldsMore(t *testing.T) {
	held := int64(60 << 10)
	store := &slowCreate{Store: memstore.New(), begun: make(chan struct{}), proceed: make(chan struct{})}
	r, err := registry.New(t.Context(), store, registry.Options{Quota: quota, Stored: func(string) int64 { return held }})
	if err != nil {
		t.Fatal(err)
	}
	store.slow = true
	written := make(chan error)
	go func() {
		_, err := r.Create(context.WithoutCancel(t.Context()), sized("default", "a", 3<<10), nil)
		written <- err
	}()
	<-store.begun
	if err := r.AllowGrowth(sized("default", "b", 2<<10), 2<<10); registry.ReasonOf(err) != registry.ReasonQuotaExceeded {
		t.Errorf("beside a write in flight: %v", err)
	}
	close(store.proceed)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := r.AllowGrowth(sized("default", "b", 2<<10), 4<<10); err != nil { // the store has not counted it
		t.Errorf("after it: %v", err)
	}
	held = 63 << 10
	if err := r.AllowGrowth(sized("default", "b", 2<<10), 2<<10); registry.ReasonOf(err) != registry.ReasonQuotaExceeded {
		t.Errorf("when the store has counted it: %v", err)
	}
}

// slowCreate is a store whose creations wait.
type slowCreate struct {
	registry.Store
	slow           bool
	begun, proceed chan struct{}
}

func (s *slowCreate) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if s.slow {
		close(s.begun)
		<-s.proceed
	}
	return s.Store.Create(ctx, o)
}
