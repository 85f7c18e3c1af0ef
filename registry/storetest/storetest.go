// Package storetest is the conformance suite that every registry.Store passes.
//
// A backend's own test is one call of [Run]. Each case gets its own store.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"drey.dev/drey/registry"
)

// Run runs the suite against stores that open returns. The suite closes them. It holds each
// store to its [registry.Capabilities].
func Run(t *testing.T, open func(testing.TB) registry.Store) {
	cases := map[string]func(*testing.T, registry.Store){
		"create returns the object":                       created,
		"create sets version 1":                           createdAtVersion1,
		"create of an existing object is ErrExists":       createTwice,
		"get of a missing object is ErrNotFound":          getMissing,
		"update replaces and increments the version":      update,
		"update of a stale version is ErrConflict":        updateStale,
		"update of a missing object is ErrNotFound":       updateMissing,
		"delete removes":                                  deleteObject,
		"delete of a missing object is ErrNotFound":       deleteTwice,
		"delete of a stale version is ErrConflict":        deleteStale,
		"a deleted name can be created":                   recreate,
		"list is ordered by namespace and name":           listOrder,
		"list of one namespace":                           listNamespace,
		"empty list is not nil":                           listEmpty,
		"names are case sensitive":                        caseSensitive,
		"namespaces with a common prefix":                 namespacePrefix,
		"name of 250 characters":                          longestName,
		"objects share no memory":                         noSharing,
		"times have milliseconds and UTC":                 times,
		"spec keeps its bytes":                            specBytes,
		"spec keeps its digits":                           specDigits,
		"consistent read":                                 consistentRead,
		"canceled context":                                canceledContext,
		"parallel updates lose none":                      parallelUpdates,
		"parallel creates of one name":                    parallelCreates,
		"watch lists and follows":                         watch,
		"watch observes before the write is acknowledged": watchBeforeAcknowledge,
		"watch among parallel writers has no gap":         watchNoGap,
		"watches observe in the order they began":         watchOrder,
		"watch ends with its context":                     watchEnds,
		"watch of one kind":                               watchKind,
		"API tokens":                                      apiTokens,
		"deployment defaults":                             deploymentDefaults,
		"shared writes: delete if unreferenced":           deleteIf,
		"shared writes: confirm":                          confirm,
		"shared writes: confirm during delete":            confirmDuringDelete,
		"use after close is ErrClosed":                    useAfterClose,
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			cases[name](t, s)
		})
	}
}

// Target returns a DeploymentTarget as the registry passes it to a store.
func Target(namespace, name, kubernetesNamespace string) registry.Object {
	now := time.Date(2026, 3, 1, 12, 30, 0, 123e6, time.UTC)
	return registry.Object{
		Kind: registry.DeploymentTarget,
		Metadata: registry.Metadata{
			ID: id(registry.DeploymentTarget, namespace, name), Name: name, Namespace: namespace,
			CreatedAt: now, ModifiedAt: now,
			Labels: map[string]string{"team": "nuts"}, Annotations: map[string]string{},
		},
		Spec: json.RawMessage(fmt.Sprintf(`{"kubernetes":{"namespace":%q}}`, kubernetesNamespace)),
	}
}

// id derives an id from the address of an object.
func id(kind registry.Kind, namespace, name string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(string(kind)+"/"+namespace+"/"+name)).String()
}

func created(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "myDeploymentTarget", "staging"))
	want := Target("default", "myDeploymentTarget", "staging")
	want.Metadata.ResourceVersion = 1
	same(t, o, want)
	same(t, mustGet(t, s, o.Key()), want)
}

func createdAtVersion1(t *testing.T, s registry.Store) {
	o := Target("default", "a", "staging")
	o.Metadata.ResourceVersion = 7
	if got := mustCreate(t, s, o).Metadata.ResourceVersion; got != 1 {
		t.Errorf("version %d, want 1", got)
	}
}

func createTwice(t *testing.T, s registry.Store) {
	first := mustCreate(t, s, Target("default", "a", "staging"))
	_, err := s.Create(t.Context(), Target("default", "a", "other"))
	wantErr(t, err, registry.ErrExists)
	same(t, mustGet(t, s, first.Key()), first)
}

func getMissing(t *testing.T, s registry.Store) {
	_, err := s.Get(t.Context(), Target("default", "a", "").Key(), registry.Cached)
	wantErr(t, err, registry.ErrNotFound)
}

func update(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	o.Metadata.Labels = map[string]string{"team": "acorns"}
	got, err := s.Update(t.Context(), o, 1)
	if err != nil {
		t.Fatal(err)
	}
	o.Metadata.ResourceVersion = 2
	same(t, got, o)
	same(t, mustGet(t, s, o.Key()), o)
}

func updateStale(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	if _, err := s.Update(t.Context(), o, 1); err != nil {
		t.Fatal(err)
	}
	current := mustGet(t, s, o.Key())
	for _, stale := range []int32{0, 1, 3} {
		_, err := s.Update(t.Context(), Target("default", "a", "other"), stale)
		wantErr(t, err, registry.ErrConflict)
	}
	same(t, mustGet(t, s, o.Key()), current)
}

func updateMissing(t *testing.T, s registry.Store) {
	_, err := s.Update(t.Context(), Target("default", "a", "staging"), 1)
	wantErr(t, err, registry.ErrNotFound)
}

func deleteObject(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	if err := s.Delete(t.Context(), o.Key(), 1); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(t.Context(), o.Key(), registry.Cached)
	wantErr(t, err, registry.ErrNotFound)
}

func deleteTwice(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	if err := s.Delete(t.Context(), o.Key(), 1); err != nil {
		t.Fatal(err)
	}
	wantErr(t, s.Delete(t.Context(), o.Key(), 1), registry.ErrNotFound)
}

func deleteStale(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	wantErr(t, s.Delete(t.Context(), o.Key(), 2), registry.ErrConflict)
	same(t, mustGet(t, s, o.Key()), o)
}

func recreate(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	if err := s.Delete(t.Context(), o.Key(), 1); err != nil {
		t.Fatal(err)
	}
	if got := mustCreate(t, s, Target("default", "a", "other")).Metadata.ResourceVersion; got != 1 {
		t.Errorf("version %d, want 1", got)
	}
}

func listOrder(t *testing.T, s registry.Store) {
	for _, key := range []string{"b/b", "a/z", "b/a", "a/B", "a/b"} {
		ns, name, _ := strings.Cut(key, "/")
		mustCreate(t, s, Target(ns, name, "staging"))
	}
	wantList(t, s, "", "a/B a/b a/z b/a b/b")
}

func listNamespace(t *testing.T, s registry.Store) {
	mustCreate(t, s, Target("a", "one", "staging"))
	mustCreate(t, s, Target("b", "two", "staging"))
	wantList(t, s, "a", "a/one")
	wantList(t, s, "c", "")
}

func listEmpty(t *testing.T, s registry.Store) {
	list, err := s.List(t.Context(), registry.DeploymentTarget, "", registry.Cached)
	if err != nil || list == nil || len(list) != 0 {
		t.Errorf("got %v, %v, want an empty list that is not nil", list, err)
	}
}

func caseSensitive(t *testing.T, s registry.Store) {
	mustCreate(t, s, Target("default", "target", "lower"))
	mustCreate(t, s, Target("default", "TARGET", "upper"))
	wantList(t, s, "default", "default/TARGET default/target")
	_, err := s.Get(t.Context(), Target("default", "Target", "").Key(), registry.Cached)
	wantErr(t, err, registry.ErrNotFound)
}

func namespacePrefix(t *testing.T, s registry.Store) {
	mustCreate(t, s, Target("team", "a", "staging"))
	mustCreate(t, s, Target("team-b", "a", "staging"))
	mustCreate(t, s, Target("tea", "m-a", "staging"))
	wantList(t, s, "team", "team/a")
	wantList(t, s, "tea", "tea/m-a")
}

func longestName(t *testing.T, s registry.Store) {
	longest := strings.Repeat("x", 250)
	mustCreate(t, s, Target("default", longest, "staging"))
	mustGet(t, s, Target("default", longest, "").Key())
}

func noSharing(t *testing.T, s registry.Store) {
	mine := Target("default", "a", "staging")
	kept := mustCreate(t, s, mine)
	want := kept.Clone()
	deface := func(o registry.Object) {
		o.Metadata.Labels["team"] = "defaced"
		o.Spec[0] = 'X'
	}
	deface(mine)
	deface(kept)
	same(t, mustGet(t, s, want.Key()), want)
	deface(mustGet(t, s, want.Key()))
	list, err := s.List(t.Context(), registry.DeploymentTarget, "", registry.Cached)
	if err != nil {
		t.Fatal(err)
	}
	deface(list[0])
	same(t, mustGet(t, s, want.Key()), want)
}

func times(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	got := mustGet(t, s, o.Key()).Metadata.CreatedAt
	if want := Target("", "", "").Metadata.CreatedAt; !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("got %v, want %v", got, want)
	}
}

// deployment returns a Deployment with any spec.
func deployment(name, spec string) registry.Object {
	o := Target("default", name, "")
	o.Kind, o.Spec = registry.Deployment, json.RawMessage(spec)
	o.Metadata.ID = id(o.Kind, "default", name)
	return o
}

func specBytes(t *testing.T, s registry.Store) {
	if !s.Capabilities().ExactSpecs {
		return // specDigits applies
	}
	o := deployment("a", `{"big":12345678901234567890.123456789,"order":{"z":1,"a":2},"text":"\u00fc<&>"}`)
	mustCreate(t, s, o)
	if got := mustGet(t, s, o.Key()).Spec; string(got) != string(o.Spec) {
		t.Errorf("got  %s\nwant %s", got, o.Spec)
	}
}

func specDigits(t *testing.T, s registry.Store) {
	const spec = `{"z":{"cpu":1.0,"big":12345678901234567890.10,"huge":1e999,"tiny":-0.0,"long":9007199254740993,"exp":1E2},` +
		`"a":[1,1.50,{"b~/c":2.0}],"null":null,"empty":{},"none":[],"text":"\u00fc<&>","bool":false}`
	o := mustCreate(t, s, deployment("a", spec))
	sameText(t, o.Spec, spec)
	sameText(t, mustGet(t, s, o.Key()).Spec, spec)
	list, err := s.List(t.Context(), registry.Deployment, "default", registry.Cached)
	if err != nil || len(list) != 1 {
		t.Fatalf("listed %v, %v", list, err)
	}
	sameText(t, list[0].Spec, spec)

	const changed = `{"z":{"cpu":2.0},"a":[1,1.51,{"b~/c":2.00}]}`
	o.Spec = json.RawMessage(changed)
	if o, err = s.Update(t.Context(), o, 1); err != nil {
		t.Fatal(err)
	}
	sameText(t, o.Spec, changed)
	sameText(t, mustGet(t, s, o.Key()).Spec, changed)
}

// sameText compares JSON values: numbers by their digits, keys in any order.
func sameText(t *testing.T, got json.RawMessage, want string) {
	t.Helper()
	ordered := func(text string) string {
		v := jsontext.Value(text)
		if err := v.Format(jsontext.ReorderRawObjects(true)); err != nil {
			t.Fatal(err)
		}
		return string(v)
	}
	if ordered(string(got)) != ordered(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func consistentRead(t *testing.T, s registry.Store) {
	ctx := t.Context()
	o := mustCreate(t, s, Target("default", "myDeploymentTarget", "staging"))
	got, err := s.Get(ctx, o.Key(), registry.Consistent)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, o)
	list, err := s.List(ctx, o.Kind, "default", registry.Consistent)
	if err != nil || len(list) != 1 {
		t.Fatalf("listed %v, %v", list, err)
	}
	same(t, list[0], o)
	if err := s.Delete(ctx, o.Key(), 1); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(ctx, o.Key(), registry.Consistent)
	wantErr(t, err, registry.ErrNotFound)
}

func canceledContext(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"List":   second(s.List(ctx, o.Kind, "", registry.Cached)),
		"Get":    second(s.Get(ctx, o.Key(), registry.Cached)),
		"Create": second(s.Create(ctx, Target("default", "b", "staging"))),
		"Update": second(s.Update(ctx, o, 1)),
		"Delete": s.Delete(ctx, o.Key(), 1),
		"Watch":  s.Watch(ctx, o.Kind, func(registry.Event) {}),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
	wantList(t, s, "", "default/a")
	same(t, mustGet(t, s, o.Key()), o)
}

func parallelUpdates(t *testing.T, s registry.Store) {
	const writers, each = 8, 10
	o := mustCreate(t, s, Target("default", "a", "staging"))
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				for {
					current, err := s.Get(t.Context(), o.Key(), registry.Cached)
					if err != nil {
						t.Error(err)
						return
					}
					current.Metadata.Labels[fmt.Sprintf("w%d-%d", w, i)] = "x"
					_, err = s.Update(t.Context(), current, current.Metadata.ResourceVersion)
					if err == nil {
						break
					}
					if !errors.Is(err, registry.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wait.Wait()
	got := mustGet(t, s, o.Key()).Metadata
	if len(got.Labels) != writers*each+1 || got.ResourceVersion != writers*each+1 {
		t.Errorf("%d labels at version %d, want %d at %[3]d", len(got.Labels), got.ResourceVersion, writers*each+1)
	}
}

func parallelCreates(t *testing.T, s registry.Store) {
	const writers = 16
	errs := make(chan error, writers)
	for range writers {
		go func() { errs <- second(s.Create(t.Context(), Target("default", "a", "staging"))) }()
	}
	won := 0
	for range writers {
		switch err := <-errs; {
		case err == nil:
			won++
		case !errors.Is(err, registry.ErrExists):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d creates of one name succeeded, want 1", won)
	}
}

func useAfterClose(t *testing.T, s registry.Store) {
	o := mustCreate(t, s, Target("default", "a", "staging"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		second(s.List(t.Context(), o.Kind, "", registry.Cached)),
		second(s.Get(t.Context(), o.Key(), registry.Cached)),
		second(s.Create(t.Context(), o)),
		second(s.Update(t.Context(), o, 1)),
		s.Delete(t.Context(), o.Key(), 1),
		s.Watch(t.Context(), o.Kind, func(registry.Event) {}),
	} {
		wantErr(t, err, registry.ErrClosed)
	}
}

func mustCreate(t *testing.T, s registry.Store, o registry.Object) registry.Object {
	t.Helper()
	o, err := s.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func mustGet(t *testing.T, s registry.Store, key registry.Key) registry.Object {
	t.Helper()
	o, err := s.Get(t.Context(), key, registry.Cached)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func wantList(t *testing.T, s registry.Store, namespace, want string) {
	t.Helper()
	list, err := s.List(t.Context(), registry.DeploymentTarget, namespace, registry.Cached)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range list {
		got = append(got, o.Metadata.Namespace+"/"+o.Metadata.Name)
	}
	if strings.Join(got, " ") != want {
		t.Errorf("listed %q, want %q", got, want)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

func same(t *testing.T, got, want registry.Object) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func second[T any](_ T, err error) error { return err }
