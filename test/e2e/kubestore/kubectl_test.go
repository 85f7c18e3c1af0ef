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

func target(namespace, name string) registry.Key {
	return registry.Key{Kind: registry.DeploymentTarget, Namespace: namespace, Name: name}
}

// get waits until the store has an object that kubectl has just made.
func get(t testing.TB, s registry.Store, key registry.Key, like func(registry.Object) bool) registry.Object {
	t.Helper()
	var o registry.Object
	eventually.OK(t, soon, func() (err error) {
		if o, err = s.Get(t.Context(), key); err == nil && !like(o) {
			err = fmt.Errorf("%+v is not it", o)
		}
		return err
	})
	return o
}

func anything(registry.Object) bool { return true }

func TestObjectsFromKubectl(t *testing.T) {
	w := inWorld(t)
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
		t.Errorf("metadata: %+v", o.Metadata)
	}
	if string(o.Spec) != `{"kubernetes":{"namespace":"flink"}}` {
		t.Errorf("spec: %s", o.Spec)
	}
	if o.Metadata.ResourceVersion <= 0 || o.Metadata.CreatedAt.Location() != time.UTC || time.Since(o.Metadata.CreatedAt) > time.Hour || o.Metadata.ModifiedAt.Before(o.Metadata.CreatedAt) {
		t.Errorf("metadata: %+v", o.Metadata)
	}
	d := get(t, s, registry.Key{Kind: registry.Deployment, Namespace: ns, Name: "top-speed"}, anything)
	const spec = `{"deploymentTargetName":"staging","state":"RUNNING","template":{"spec":{"parallelism":2}}}`
	if d.Metadata.DisplayName != "Top Speed" || string(d.Spec) != spec {
		t.Errorf("%+v %s", d.Metadata, d.Spec)
	}

	t.Run("every change of kubectl's is another version", func(t *testing.T) {
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
				t.Errorf("%v: version %d, as after %s", args, after.Metadata.ResourceVersion, was)
			}
			seen[after.Metadata.ResourceVersion] = args[0]
		}
	})
	t.Run("a write through REST counts on, and leaves kubectl's note alone", func(t *testing.T) {
		o := get(t, s, target(ns, "staging"), anything)
		expected := o.Metadata.ResourceVersion
		o.Metadata.Labels, o.Metadata.Annotations = map[string]string{"by": "rest"}, map[string]string{}
		kept, err := s.Update(t.Context(), o, expected)
		if err != nil || kept.Metadata.ResourceVersion != expected+1 || kept.Metadata.ID != uid {
			t.Fatalf("%+v, %v", kept, err)
		}
		if _, err := s.Update(t.Context(), o, expected); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("the same again: %v", err)
		}
		annotations := w.MustKubectl(t, "", "get", "dt", "staging", "-n", ns, "-o", "jsonpath={.metadata.annotations}")
		if !strings.Contains(annotations, "last-applied-configuration") || strings.Contains(annotations, `"note":"by hand"`) {
			t.Errorf("annotations: %s", annotations)
		}
	})
	t.Run("two stores say the same version, and so does one that starts later", func(t *testing.T) {
		w.MustKubectl(t, "", "label", "dt", "staging", "x=y", "-n", ns)
		isNew := func(o registry.Object) bool { return o.Metadata.Labels["x"] == "y" }
		a, b := get(t, s, target(ns, "staging"), isNew), get(t, w.open(t, kubestore.Options{}), target(ns, "staging"), isNew)
		if a.Metadata.ResourceVersion != b.Metadata.ResourceVersion {
			t.Errorf("%d and %d", a.Metadata.ResourceVersion, b.Metadata.ResourceVersion)
		}
	})
	t.Run("deleted by kubectl, it is gone", func(t *testing.T) {
		w.MustKubectl(t, "", "delete", "dt", "staging", "-n", ns)
		eventually.OK(t, soon, func() error {
			if o, err := s.Get(t.Context(), target(ns, "staging")); !errors.Is(err, registry.ErrNotFound) {
				return fmt.Errorf("got %+v, %w", o, err)
			}
			return nil
		})
	})
}

// TestCRDValidation is what kubectl is told, and by whom it is told it: the
// rules are in the definitions, and hold while drey is away.
func TestCRDValidation(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	w.MustKubectl(t, targetYAML("staging", "", "flink"), "apply", "-n", ns, "-f", "-")
	for name, c := range map[string]struct{ yaml, want string }{
		"another target namespace":          {targetYAML("staging", "", "other"), "the spec of a DeploymentTarget cannot be changed: create a target of another name"},
		"the removal of a target namespace": {targetYAML("staging", "", ""), "cannot be changed"},
		"a name given later":                {targetYAML("staging", "Staging", "flink"), "cannot be changed"},
		"a name that Kubernetes has not":    {targetYAML("myDeploymentTarget", "", "flink"), "a lowercase RFC 1123 subdomain must consist of"},
		"a name that REST has not":          {targetYAML("my.target", "", "flink"), "put the name for REST into spec.name"},
		"two names where one would do":      {targetYAML("a", "b", "flink"), "leave spec.name out"},
		"free text for a name":              {targetYAML("a", "my target", "flink"), "use 1 to 250 characters of 0-9, a-z, A-Z, hyphen and underscore"},
		"a namespace that cannot be":        {targetYAML("a", "", "Flink_Jobs"), "not the name of a Kubernetes namespace"},
		"a misspelled field":                {strings.Replace(targetYAML("a", "", "flink"), "{namespace", "{namspace", 1), `unknown field "spec.kubernetes.namspace"`},
		"no spec":                           {"apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: a}", "spec: Required value"},
		"no kubernetes":                     {"apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: a}\nspec: {}", "spec.kubernetes: Required value"},
		"a Deployment's name with a dot":    {"apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: a.b}\nspec: {}", "use 1 to 63 characters of 0-9, a-z and hyphen"},
		"a session cluster's likewise":      {"apiVersion: drey.dev/v1\nkind: SessionCluster\nmetadata: {name: a.b}\nspec: {}", "use 1 to 63 characters of 0-9, a-z and hyphen"},
		"a reference that is no name":       {"apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {deploymentTargetName: 5}", "spec.deploymentTargetName"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			out, err := w.RunKubectl(t, c.yaml, "apply", "-n", ns, "-f", "-")
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v: %s\nwant %q", err, out, c.want)
			}
		})
	}
	w.MustKubectl(t, "", "label", "dt", "staging", "env=test", "-n", ns) // may change
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

// TestVervericaExample applies the DeploymentTarget of Ververica
// Platform's documentation with another apiVersion, and the name where
// Kubernetes can hold it.
func TestVervericaExample(t *testing.T) {
	w := inWorld(t)
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
	list, err := s.List(t.Context(), registry.DeploymentTarget, ns)
	if err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	again := o
	again.Metadata.ID = "11111111-2222-4333-8444-555555555555"
	if _, err := s.Create(t.Context(), again); !errors.Is(err, registry.ErrExists) {
		t.Errorf("created through REST as well: %v", err)
	}
	if err := s.Delete(t.Context(), o.Key(), o.Metadata.ResourceVersion); err != nil {
		t.Error(err)
	}
	if out := w.MustKubectl(t, "", "get", "dt", "-n", ns); !strings.Contains(out, "No resources found") {
		t.Error(out)
	}
}

func TestInvalidKubernetesName(t *testing.T) {
	w := inWorld(t)
	s := w.reporting(t, kubestore.Options{})
	ns := w.Namespace(t)
	made, err := s.Create(t.Context(), registry.Object{
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
	if made.Metadata.ID != "22222222-2222-4333-8444-555555555555" || len(made.Metadata.Labels) != 3 || len(made.Metadata.Annotations) != 4 || made.Metadata.Annotations["drey.dev/id"] != "mine" || made.Metadata.ResourceVersion != 1 {
		t.Errorf("%+v", made.Metadata)
	}
	eventually.OK(t, soon, func() error {
		out := w.MustKubectl(t, "", "get", "dt", "-n", ns, "-o", "wide")
		if !regexp.MustCompile(`mydeploymenttarget\.[0-9a-f]{20} +jobs +0 +False +\S+ +NamespaceMissing +myDeploymentTarget +22222222-2222-4333-8444-555555555555`).MatchString(out) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if out := w.MustKubectl(t, "", "get", "dt", "-n", ns, "-l", "env=test", "-o", "name"); !strings.HasPrefix(out, "deploymenttarget.drey.dev/mydeploymenttarget.") {
		t.Error(out)
	}
}

func TestKubectlPrinterColumns(t *testing.T) {
	w := inWorld(t)
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
	eventually.OK(t, soon, func() error {
		out := w.MustKubectl(t, "", "get", "drey", "-n", ns)
		for _, want := range []string{
			`NAME +TARGET-NAMESPACE +REFERENCES +READY +AGE\n`, `deploymenttarget.drey.dev/staging +` + ns + ` +2 +True`,
			`NAME +TARGET +STATE +READY +AGE\n`, `deployment.drey.dev/top-speed +staging +RUNNING +True`, `sessioncluster.drey.dev/cluster +staging +STOPPED +True`,
		} {
			if !regexp.MustCompile(want).MatchString(out) {
				return fmt.Errorf("no %q in\n%s", want, out)
			}
		}
		return nil
	})
	for _, args := range [][]string{{"get", "vdep,vsc,dt"}, {"wait", "--for=condition=Referenced", "dt/staging"}} {
		w.MustKubectl(t, "", append(args, "-n", ns)...)
	}
	if out := w.MustKubectl(t, "", "explain", "deploymenttargets.spec.kubernetes.namespace"); !strings.Contains(out, "in which Flink may run") {
		t.Error(out)
	}
	t.Run("a status is no change of the object", func(t *testing.T) {
		before := get(t, s, target(ns, "staging"), anything)
		w.MustKubectl(t, "", "delete", "vdep,vsc", "--all", "-n", ns)
		eventually.OK(t, soon, func() error {
			if out := w.MustKubectl(t, "", "get", "dt", "staging", "-n", ns, "-o", "jsonpath={.status.references}"); out != "0" {
				return fmt.Errorf("references: %s", out)
			}
			return nil
		})
		if after := get(t, s, target(ns, "staging"), anything); after.Metadata.ResourceVersion != before.Metadata.ResourceVersion || !after.Metadata.ModifiedAt.Equal(before.Metadata.ModifiedAt) {
			t.Errorf("%+v\n%+v", before.Metadata, after.Metadata)
		}
		if _, err := s.Update(t.Context(), before, before.Metadata.ResourceVersion); err != nil {
			t.Error(err)
		}
	})
}

func TestDuplicateNameOlderWins(t *testing.T) {
	w := inWorld(t)
	s := w.reporting(t, kubestore.Options{})
	ns := w.Namespace(t)
	var seen events
	if err := s.Watch(t.Context(), registry.DeploymentTarget, seen.observe(ns)); err != nil {
		t.Fatal(err)
	}
	w.MustKubectl(t, targetYAML("one", "My_Target", "first"), "apply", "-n", ns, "-f", "-")
	older := get(t, s, target(ns, "My_Target"), anything)
	time.Sleep(time.Until(older.Metadata.CreatedAt.Add(1100 * time.Millisecond))) // times in Kubernetes are in seconds
	w.MustKubectl(t, targetYAML("another", "My_Target", "second"), "apply", "-n", ns, "-f", "-")
	eventually.OK(t, soon, func() error {
		out := w.MustKubectl(t, "", "get", "dt", "another", "-n", ns, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
		if !strings.Contains(out, "NameTaken") || !strings.Contains(out, `deploymenttargets.drey.dev one is older and has the name \"My_Target\"`) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	for _, o := range []registry.Object{get(t, s, older.Key(), anything), list(t, s, ns, false)[0], list(t, s, ns, true)[0]} {
		if string(o.Spec) != `{"kubernetes":{"namespace":"first"}}` {
			t.Errorf("shown is %s", o.Spec)
		}
	}
	if n := len(list(t, s, ns, false)) + len(list(t, s, ns, true)); n != 2 {
		t.Errorf("two lists have %d", n)
	}
	if err := s.Delete(t.Context(), older.Key(), older.Metadata.ResourceVersion); err != nil {
		t.Fatal(err)
	}
	o := get(t, s, older.Key(), anything)
	if string(o.Spec) != `{"kubernetes":{"namespace":"second"}}` {
		t.Errorf("when the older is gone, shown is %s", o.Spec)
	}
	if got, want := seen.text(), "Added My_Target first, Deleted My_Target first, Added My_Target second"; got != want {
		t.Errorf("observed %s, want %s", got, want)
	}
}

// TestDuplicateID copies the annotation by which an object
// carries its id.
func TestDuplicateID(t *testing.T) {
	w := inWorld(t)
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	w.MustKubectl(t, targetYAML("a", "", "flink"), "apply", "-n", ns, "-f", "-")
	owner := get(t, s, target(ns, "a"), anything).Metadata.ID
	w.MustKubectl(t, strings.Replace(targetYAML("b", "", "flink"), "{name: b", "{annotations: {drey.dev/id: "+owner+"}, name: b", 1), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, strings.Replace(targetYAML("c", "", "flink"), "{name: c", "{annotations: {drey.dev/id: nonsense}, name: c", 1), "apply", "-n", ns, "-f", "-")
	uids := strings.Fields(w.MustKubectl(t, "", "get", "dt", "b", "c", "-n", ns, "-o", "jsonpath={.items[*].metadata.uid}"))
	b, c := get(t, s, target(ns, "b"), anything), get(t, s, target(ns, "c"), anything)
	if b.Metadata.ID != uids[0] || c.Metadata.ID != uids[1] || get(t, s, target(ns, "a"), anything).Metadata.ID != owner {
		t.Errorf("ids: %s %s, want %s", b.Metadata.ID, c.Metadata.ID, uids)
	}
}

// list lists the targets of a namespace.
func list(t testing.TB, s registry.Store, namespace string, current bool) []registry.Object {
	t.Helper()
	ctx := t.Context()
	if current {
		ctx = registry.Current(ctx)
	}
	list, err := s.List(ctx, registry.DeploymentTarget, namespace)
	if err != nil || len(list) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	return list
}
