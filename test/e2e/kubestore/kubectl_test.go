package kubestore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/test/framework/eventually"
)

// target returns the key of a DeploymentTarget.
func target(namespace, name string) registry.Key {
	return registry.Key{Kind: registry.DeploymentTarget, Namespace: namespace, Name: name}
}

// get waits until the store has an object that matches, and returns it.
func get(t testing.TB, s registry.Store, key registry.Key, match func(registry.Object) bool) registry.Object {
	t.Helper()
	var o registry.Object
	eventually.OK(t, func() (err error) {
		if o, err = s.Get(t.Context(), key, registry.Cached); err == nil && !match(o) {
			err = fmt.Errorf("got %+v, want another version", o)
		}
		return err
	})
	return o
}

func anything(registry.Object) bool { return true }

// TestObjectsFromKubectl reads objects that kubectl wrote: they have the metadata and the
// versions of REST.
func TestObjectsFromKubectl(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	w.MustKubectl(t, `
apiVersion: drey.dev/v1
kind: DeploymentTarget
metadata: {name: staging, labels: {env: test}, annotations: {note: by hand}}
spec: {kubernetes: {namespace: flink}}
---
apiVersion: drey.dev/v1
kind: Deployment
metadata: {name: top-speed, annotations: {drey.dev/display-name: Top Speed}}
spec: {state: RUNNING, deploymentTargetName: staging, template: {spec: {parallelism: 2}}}
`, "apply", "-n", ns, "-f", "-")

	o := get(t, s, target(ns, "staging"), anything)
	uid := w.MustKubectl(t, "", "get", "dt", "staging", "-n", ns, "-o", "jsonpath={.metadata.uid}")
	if o.Metadata.ID != uid || o.Metadata.Labels["env"] != "test" || len(o.Metadata.Annotations) != 1 || o.Metadata.Annotations["note"] != "by hand" {
		t.Errorf("got the metadata %+v", o.Metadata)
	}
	if string(o.Spec) != `{"kubernetes":{"namespace":"flink"}}` {
		t.Errorf("got the spec %s", o.Spec)
	}
	if o.Metadata.ResourceVersion <= 0 || o.Metadata.CreatedAt.Location() != time.UTC || time.Since(o.Metadata.CreatedAt) > time.Hour || o.Metadata.ModifiedAt.Before(o.Metadata.CreatedAt) {
		t.Errorf("got the metadata %+v", o.Metadata)
	}
	d := get(t, s, registry.Key{Kind: registry.Deployment, Namespace: ns, Name: "top-speed"}, anything)
	const spec = `{"deploymentTargetName":"staging","state":"RUNNING","template":{"spec":{"parallelism":2}}}`
	if d.Metadata.DisplayName != "Top Speed" || string(d.Spec) != spec {
		t.Errorf("%+v %s", d.Metadata, d.Spec)
	}

	t.Run("each kubectl write changes the version", func(t *testing.T) {
		seen := map[int32]string{o.Metadata.ResourceVersion: "created"}
		for _, args := range [][]string{
			{"label", "dt", "staging", "team=nuts"},
			{"annotate", "dt", "staging", "more=text"},
			{"label", "dt", "staging", "team-"},
		} {
			before := get(t, s, target(ns, "staging"), anything)
			w.MustKubectl(t, "", append(args, "-n", ns)...)
			after := get(t, s, target(ns, "staging"), func(o registry.Object) bool { return o.Metadata.ResourceVersion != before.Metadata.ResourceVersion })
			if was, ok := seen[after.Metadata.ResourceVersion]; ok || after.Metadata.ResourceVersion <= 0 {
				t.Errorf("%v: got version %d, the one of %q", args, after.Metadata.ResourceVersion, was)
			}
			seen[after.Metadata.ResourceVersion] = args[0]
		}
	})
	t.Run("a REST write increments the version and keeps last-applied-configuration", func(t *testing.T) {
		o := get(t, s, target(ns, "staging"), anything)
		expected := o.Metadata.ResourceVersion
		o.Metadata.Labels, o.Metadata.Annotations = map[string]string{"by": "rest"}, map[string]string{}
		kept, err := s.Update(t.Context(), o, expected)
		if err != nil || kept.Metadata.ResourceVersion != expected+1 || kept.Metadata.ID != uid {
			t.Fatalf("Update: got %+v, %v, want version %d", kept, err, expected+1)
		}
		if _, err := s.Update(t.Context(), o, expected); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("Update with a stale version: got %v, want ErrConflict", err)
		}
		annotations := w.MustKubectl(t, "", "get", "dt", "staging", "-n", ns, "-o", "jsonpath={.metadata.annotations}")
		if !strings.Contains(annotations, "last-applied-configuration") || strings.Contains(annotations, `"note":"by hand"`) {
			t.Errorf("got the annotations %s", annotations)
		}
	})
	t.Run("stores agree on the version after a restart", func(t *testing.T) {
		w.MustKubectl(t, "", "label", "dt", "staging", "x=y", "-n", ns)
		isNew := func(o registry.Object) bool { return o.Metadata.Labels["x"] == "y" }
		a, b := get(t, s, target(ns, "staging"), isNew), get(t, w.open(t, kubestore.Options{}), target(ns, "staging"), isNew)
		if a.Metadata.ResourceVersion != b.Metadata.ResourceVersion {
			t.Errorf("got the versions %d and %d, want the same", a.Metadata.ResourceVersion, b.Metadata.ResourceVersion)
		}
	})
	t.Run("kubectl delete", func(t *testing.T) {
		w.MustKubectl(t, "", "delete", "dt", "staging", "-n", ns)
		eventually.OK(t, func() error {
			if o, err := s.Get(t.Context(), target(ns, "staging"), registry.Cached); !errors.Is(err, registry.ErrNotFound) {
				return fmt.Errorf("got %+v, %w, want ErrNotFound", o, err)
			}
			return nil
		})
	})
}

// TestCRDValidation applies invalid objects. The CRDs' own validation rejects them, so it
// holds while drey is down.
func TestCRDValidation(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	w.MustKubectl(t, targetYAML("staging", "", "flink"), "apply", "-n", ns, "-f", "-")
	for name, c := range map[string]struct{ yaml, want string }{
		"spec.kubernetes.namespace changes": {targetYAML("staging", "", "other"), "the spec of a DeploymentTarget is immutable: create a target with another name"},
		"spec.kubernetes.namespace removed": {targetYAML("staging", "", ""), "is immutable"},
		"spec.name added":                   {targetYAML("staging", "Staging", "flink"), "is immutable"},
		"metadata.name with upper case":     {targetYAML("myDeploymentTarget", "", "flink"), "a lowercase RFC 1123 subdomain must consist of"},
		"metadata.name with a dot":          {targetYAML("my.target", "", "flink"), "put the name for REST into spec.name"},
		"spec.name valid as metadata.name":  {targetYAML("a", "b", "flink"), "leave spec.name out"},
		"spec.name with a space":            {targetYAML("a", "my target", "flink"), "use 1 to 250 characters of 0-9, a-z, A-Z, hyphen and underscore"},
		"spec.kubernetes.namespace invalid": {targetYAML("a", "", "Flink_Jobs"), "not the name of a Kubernetes namespace"},
		"unknown field":                     {strings.Replace(targetYAML("a", "", "flink"), "{namespace", "{namspace", 1), `unknown field "spec.kubernetes.namspace"`},
		"spec missing":                      {"apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: a}", "spec: Required value"},
		"spec.kubernetes missing":           {"apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: a}\nspec: {}", "spec.kubernetes: Required value"},
		"Deployment name with a dot":        {"apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: a.b}\nspec: {}", "use 1 to 63 characters of 0-9, a-z and hyphen"},
		"SessionCluster name with a dot":    {"apiVersion: drey.dev/v1\nkind: SessionCluster\nmetadata: {name: a.b}\nspec: {}", "use 1 to 63 characters of 0-9, a-z and hyphen"},
		"deploymentTargetName not a string": {"apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {deploymentTargetName: 5}", "spec.deploymentTargetName"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			out, err := w.RunKubectl(t, c.yaml, "apply", "-n", ns, "-f", "-")
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("got %v: %s\nwant %q", err, out, c.want)
			}
		})
	}
	w.MustKubectl(t, "", "label", "dt", "staging", "env=test", "-n", ns) // labels are mutable
}

func targetYAML(name, restName, namespace string) string {
	spec := "kubernetes: {}"
	if namespace != "" {
		spec = "kubernetes: {namespace: " + namespace + "}"
	}
	if restName != "" {
		spec += ", name: " + restName
	}
	return fmt.Sprintf("apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: %s}\nspec: {%s}\n", name, spec)
}

// TestVervericaExample applies the DeploymentTarget of Ververica Platform's documentation,
// with drey's apiVersion and the name in spec.name.
func TestVervericaExample(t *testing.T) {
	w := sharedWorld(t)
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	const example = `
kind: DeploymentTarget
apiVersion: drey.dev/v1
metadata:
  name: my-deployment-target
  labels:
    env: testing
spec:
  name: myDeploymentTarget
  kubernetes:
    namespace: jobs
`
	w.MustKubectl(t, example, "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, example, "apply", "-n", ns, "-f", "-")
	o := get(t, s, target(ns, "myDeploymentTarget"), anything)
	if o.Metadata.Name != "myDeploymentTarget" || string(o.Spec) != `{"kubernetes":{"namespace":"jobs"}}` {
		t.Errorf("%+v %s", o.Metadata, o.Spec)
	}
	list, err := s.List(t.Context(), registry.DeploymentTarget, ns, registry.Cached)
	if err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	again := o
	again.Metadata.ID = "11111111-2222-4333-8444-555555555555"
	if _, err := s.Create(t.Context(), again); !errors.Is(err, registry.ErrExists) {
		t.Errorf("Create of the same name: got %v, want ErrExists", err)
	}
	if err := s.Delete(t.Context(), o.Key(), o.Metadata.ResourceVersion); err != nil {
		t.Error(err)
	}
	if out := w.MustKubectl(t, "", "get", "dt", "-n", ns); !strings.Contains(out, "No resources found") {
		t.Error(out)
	}
}

// TestInvalidKubernetesName creates an object whose REST name is not valid in Kubernetes:
// its resource has a derived name, and REST's labels and annotations survive.
func TestInvalidKubernetesName(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	s := w.reporting(t, kubestore.Options{})
	ns := w.Namespace(t)
	created, err := s.Create(t.Context(), registry.Object{
		Kind: registry.DeploymentTarget,
		Metadata: registry.Metadata{
			ID: "22222222-2222-4333-8444-555555555555", Name: "myDeploymentTarget", Namespace: ns,
			CreatedAt: time.Now().UTC().Truncate(time.Millisecond), ModifiedAt: time.Now().UTC().Truncate(time.Millisecond),
			Labels:      map[string]string{"env": "test", "not a label": "at all", "drey.dev/x": "y"},
			Annotations: map[string]string{"note": "text", "no annotation": "text", "drey.dev/id": "mine", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
		},
		Spec: json.RawMessage(`{"kubernetes":{"namespace":"jobs"}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if created.Metadata.ID != "22222222-2222-4333-8444-555555555555" || len(created.Metadata.Labels) != 3 || len(created.Metadata.Annotations) != 4 || created.Metadata.Annotations["drey.dev/id"] != "mine" || created.Metadata.ResourceVersion != 1 {
		t.Errorf("Create: got %+v, want id, labels and annotations of the request", created.Metadata)
	}
	eventually.OK(t, func() error {
		out := w.MustKubectl(t, "", "get", "dt", "-n", ns, "-o", "wide")
		if !regexp.MustCompile(`mydeploymenttarget\.[0-9a-f]{20} +jobs +0 +False +\S+ +NamespaceMissing +myDeploymentTarget +22222222-2222-4333-8444-555555555555`).MatchString(out) {
			return fmt.Errorf("got %s", out)
		}
		return nil
	})
	if out := w.MustKubectl(t, "", "get", "dt", "-n", ns, "-l", "env=test", "-o", "name"); !strings.HasPrefix(out, "deploymenttarget.drey.dev/mydeploymenttarget.") {
		t.Error(out)
	}
}

// TestKubectlPrinterColumns reads the columns, the category drey, and the short names.
func TestKubectlPrinterColumns(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	s := w.reporting(t, kubestore.Options{})
	ns := w.Namespace(t)
	w.MustKubectl(t, targetYAML("staging", "", ns)+`---
apiVersion: drey.dev/v1
kind: Deployment
metadata: {name: top-speed}
spec: {state: RUNNING, deploymentTargetName: staging}
---
apiVersion: drey.dev/v1
kind: SessionCluster
metadata: {name: cluster}
spec: {state: STOPPED, deploymentTargetName: staging}
`, "apply", "-n", ns, "-f", "-")
	eventually.OK(t, func() error {
		out := w.MustKubectl(t, "", "get", "drey", "-n", ns)
		for _, want := range []string{
			`NAME +TARGET-NAMESPACE +REFERENCES +WORKLOADS +PODS +READY +AGE\n`, `deploymenttarget.drey.dev/staging +` + ns + ` +2( +\d+ +\d+)? +True`,
			`NAME +TARGET +DESIRED +STATE +READY +AGE\n`, `deployment.drey.dev/top-speed +staging +RUNNING +True`, `sessioncluster.drey.dev/cluster +staging +STOPPED +True`,
		} {
			if !regexp.MustCompile(want).MatchString(out) {
				return fmt.Errorf("got no %q in\n%s", want, out)
			}
		}
		return nil
	})
	for _, args := range [][]string{{"get", "vdep,vsc,dt"}, {"wait", "--for=condition=Referenced", "dt/staging"}} {
		w.MustKubectl(t, "", append(args, "-n", ns)...)
	}
	if out := w.MustKubectl(t, "", "explain", "deploymenttargets.spec.kubernetes.namespace"); !strings.Contains(out, "that Flink is admitted to") {
		t.Error(out)
	}
	t.Run("status writes do not change the version", func(t *testing.T) {
		before := get(t, s, target(ns, "staging"), anything)
		w.MustKubectl(t, "", "delete", "vdep,vsc", "--all", "-n", ns)
		eventually.OK(t, func() error {
			if out := w.MustKubectl(t, "", "get", "dt", "staging", "-n", ns, "-o", "jsonpath={.status.references}"); out != "0" {
				return fmt.Errorf("got %s references, want 0", out)
			}
			return nil
		})
		if after := get(t, s, target(ns, "staging"), anything); after.Metadata.ResourceVersion != before.Metadata.ResourceVersion || !after.Metadata.ModifiedAt.Equal(before.Metadata.ModifiedAt) {
			t.Errorf("got %+v\nwant %+v", after.Metadata, before.Metadata)
		}
		if _, err := s.Update(t.Context(), before, before.Metadata.ResourceVersion); err != nil {
			t.Error(err)
		}
	})
}

// TestDuplicateNameOlderWins creates two objects of one REST name with kubectl. REST shows
// the older one; the other one has the reason NameTaken until the older one is deleted.
func TestDuplicateNameOlderWins(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	s := w.reporting(t, kubestore.Options{})
	ns := w.Namespace(t)
	var seen events
	if err := s.Watch(t.Context(), registry.DeploymentTarget, seen.observe(ns)); err != nil {
		t.Fatal(err)
	}
	w.MustKubectl(t, targetYAML("one", "My_Target", "first"), "apply", "-n", ns, "-f", "-")
	older := get(t, s, target(ns, "My_Target"), anything)
	time.Sleep(time.Until(older.Metadata.CreatedAt.Add(1100 * time.Millisecond))) // creationTimestamp has seconds
	w.MustKubectl(t, targetYAML("another", "My_Target", "second"), "apply", "-n", ns, "-f", "-")
	eventually.OK(t, func() error {
		out := w.MustKubectl(t, "", "get", "dt", "another", "-n", ns, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
		if !strings.Contains(out, "NameTaken") || !strings.Contains(out, `deploymenttargets.drey.dev one is older and has the name \"My_Target\"`) {
			return fmt.Errorf("got the condition %s, want NameTaken", out)
		}
		return nil
	})
	for _, o := range []registry.Object{get(t, s, older.Key(), anything), list(t, s, ns, registry.Cached)[0], list(t, s, ns, registry.Consistent)[0]} {
		if string(o.Spec) != `{"kubernetes":{"namespace":"first"}}` {
			t.Errorf("got the spec %s, want that of the older object", o.Spec)
		}
	}
	if n := len(list(t, s, ns, registry.Cached)) + len(list(t, s, ns, registry.Consistent)); n != 2 {
		t.Errorf("got %d objects in two lists, want 2", n)
	}
	if err := s.Delete(t.Context(), older.Key(), older.Metadata.ResourceVersion); err != nil {
		t.Fatal(err)
	}
	o := get(t, s, older.Key(), anything)
	if string(o.Spec) != `{"kubernetes":{"namespace":"second"}}` {
		t.Errorf("got the spec %s after the deletion, want that of the newer object", o.Spec)
	}
	if got, want := seen.text(), "Added My_Target first, Deleted My_Target first, Added My_Target second"; got != want {
		t.Errorf("got the events %s, want %s", got, want)
	}
}

// TestDuplicateID copies the annotation drey.dev/id to another object, which keeps its uid
// as id.
func TestDuplicateID(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	w.MustKubectl(t, targetYAML("a", "", "flink"), "apply", "-n", ns, "-f", "-")
	owner := get(t, s, target(ns, "a"), anything).Metadata.ID
	w.MustKubectl(t, strings.Replace(targetYAML("b", "", "flink"), "{name: b", "{annotations: {drey.dev/id: "+owner+"}, name: b", 1), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, strings.Replace(targetYAML("c", "", "flink"), "{name: c", "{annotations: {drey.dev/id: nonsense}, name: c", 1), "apply", "-n", ns, "-f", "-")
	uids := strings.Fields(w.MustKubectl(t, "", "get", "dt", "b", "c", "-n", ns, "-o", "jsonpath={.items[*].metadata.uid}"))
	b, c := get(t, s, target(ns, "b"), anything), get(t, s, target(ns, "c"), anything)
	if b.Metadata.ID != uids[0] || c.Metadata.ID != uids[1] || get(t, s, target(ns, "a"), anything).Metadata.ID != owner {
		t.Errorf("got the ids %s %s, want %s", b.Metadata.ID, c.Metadata.ID, uids)
	}
}

// list lists the targets of a namespace.
func list(t testing.TB, s registry.Store, namespace string, c registry.Consistency) []registry.Object {
	t.Helper()
	list, err := s.List(t.Context(), registry.DeploymentTarget, namespace, c)
	if err != nil || len(list) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	return list
}
