package registry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

// claimant may run pods in some Kubernetes namespaces.
type claimant struct {
	name string
	in   []string
	err  error
}

func (c claimant) Name() string { return c.name }
func (c claimant) MayCreatePods(_ context.Context, namespace string) (bool, error) {
	return slices.Contains(c.in, namespace), c.err
}

// TestCreateTargetClaim: the requester of a new target may create pods in its Kubernetes
// namespace; a replacement needs no permission.
func TestCreateTargetClaim(t *testing.T) {
	r := newRegistry(t, memstore.New())
	alice := claimant{name: "alice", in: []string{"hers"}}
	if _, err := r.Create(t.Context(), target("default", "foreign", "theirs"), nil); err != nil {
		t.Errorf("made by nobody in particular: %v", err)
	}
	if _, err := r.Create(t.Context(), target("default", "own", "hers"), alice); err != nil {
		t.Error(err)
	}
	relabeled := target("default", "foreign", "theirs")
	relabeled.Metadata.Labels = map[string]string{"team": "nuts"}
	if _, outcome, err := r.Put(t.Context(), relabeled, registry.Precondition{}, alice); err != nil || outcome != registry.Replaced {
		t.Errorf("%v, %v", outcome, err)
	}
	if _, err := r.Create(t.Context(), registry.Object{Kind: registry.Deployment, Metadata: registry.Metadata{Namespace: "default", Name: "job"}, Spec: []byte(`{"deploymentTargetName":"foreign"}`)}, alice); err != nil {
		t.Errorf("a Deployment opens no namespace: %v", err)
	}
	for name, register := range map[string]func(registry.Object) error{
		"create": func(o registry.Object) error { _, err := r.Create(t.Context(), o, alice); return err },
		"put": func(o registry.Object) error {
			_, _, err := r.Put(t.Context(), o, registry.Precondition{}, alice)
			return err
		},
		"put, if none": func(o registry.Object) error {
			_, _, err := r.Put(t.Context(), o, registry.Precondition{Absent: true}, alice)
			return err
		},
	} {
		for _, namespace := range []string{"theirs", ""} { // the second is drey's own
			if err := register(target("default", "another", namespace)); registry.ReasonOf(err) != registry.ReasonClaimForbidden {
				t.Errorf("%s for %q: %v", name, namespace, err)
			}
		}
	}
	errAway := errors.New("nobody answers")
	if _, err := r.Create(t.Context(), target("default", "b", "hers"), claimant{in: []string{"hers"}, err: errAway}); !errors.Is(err, errAway) {
		t.Errorf("when it cannot be found out: %v", err)
	}
}

// TestPutTargetClaimRace: a PUT beside a deletion checks the permission too.
func TestPutTargetClaimRace(t *testing.T) {
	r := newRegistry(t, memstore.New())
	alice := claimant{name: "alice", in: []string{"hers"}}
	for range 200 {
		if _, err := r.Create(t.Context(), target("default", "a", "hers"), alice); err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		wait.Go(func() { _, _ = r.Delete(t.Context(), target("default", "a", "").Key(), registry.Precondition{}) })
		wait.Go(func() {
			_, _, err := r.Put(t.Context(), target("default", "a", "theirs"), registry.Precondition{}, alice)
			if reason := registry.ReasonOf(err); reason != registry.ReasonClaimForbidden && reason != registry.ReasonImmutableSpec {
				t.Errorf("got %v", err)
			}
		})
		wait.Wait()
	}
}

// TestClaimRemedy: the remedy is a command that is safe to paste, for any user name.
func TestClaimRemedy(t *testing.T) {
	r := newRegistry(t, memstore.New())
	for user, want := range map[string]string{
		"alice":                             "kubectl create rolebinding flink-alice -n theirs --clusterrole=edit --user=alice",
		"alice@example.com":                 "-n theirs --clusterrole=edit --user=alice@example.com",
		"system:serviceaccount:team-a:ci":   "kubectl create rolebinding flink-system-serviceaccount-team-a-ci -n theirs --clusterrole=edit --serviceaccount=team-a:ci",
		"$(reboot); 'x' \"y\" `z`\n -n all": `--user='$(reboot); '\''x'\'' "y" ` + "`z`\n -n all'",
	} {
		_, err := r.Create(t.Context(), target("default", "a", "theirs"), claimant{name: user})
		if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.Contains(err.Error(), `may not create pods in Kubernetes namespace "theirs"`) {
			t.Errorf("%q: %v\nwant %s", user, err, want)
		}
	}
}

// TestClaimSystemNamespace: the remedy grants no permission in system namespaces.
func TestClaimSystemNamespace(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{OwnNamespace: "drey-system", ExcludedNamespaces: []string{"kube-system"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"", "drey-system", "kube-system"} {
		_, err := r.Create(t.Context(), target("default", "a", namespace), claimant{name: "alice"})
		if registry.ReasonOf(err) != registry.ReasonClaimForbidden || strings.Contains(err.Error(), "rolebinding") || !strings.Contains(err.Error(), "namespace of your own") {
			t.Errorf("%q: %v", namespace, err)
		}
	}
	o, err := r.Create(t.Context(), target("default", "a", "kube-system"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Warnings(o); len(got) != 1 || !strings.Contains(got[0], "points elsewhere") {
		t.Errorf("warnings: %q", got)
	}
}

// TestIDTaken: an object may not request the id of another.
func TestIDTaken(t *testing.T) {
	r := newRegistry(t, memstore.New(), "team-a")
	theirs, err := r.Create(t.Context(), target("default", "a", "flink"), nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := target("team-a", "a", "flink")
	was := mine
	for id, want := range map[string]registry.Reason{theirs.Metadata.ID: registry.ReasonIDTaken, "11111111-2222-4333-8444-555555555555": ""} {
		mine.Metadata.ID = id
		if err := r.AllowCreate(t.Context(), mine); registry.ReasonOf(err) != want {
			t.Errorf("create with %s: %v", id, err)
		}
		if err := r.AllowUpdate(t.Context(), mine, was); registry.ReasonOf(err) != want {
			t.Errorf("update to %s: %v", id, err)
		}
	}
	if err := r.AllowCreate(t.Context(), theirs); err != nil {
		t.Errorf("made anew, as it was: %v", err)
	}
}
