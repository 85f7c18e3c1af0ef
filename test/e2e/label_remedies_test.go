package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/config"
)

// wrong is a reason for which a label has to be mended.
type wrong struct {
	name       string
	targets    []string
	key, value string // the label; empty: one is missing
}

// TestRemedies runs the command of each denial as it is printed, in a shell, and has what
// makes pods make them again.
func TestRemedies(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	elsewhere := w.Namespace(t)
	w.setMode(t, elsewhere, config.Audit)
	another := w.owned(t, elsewhere, "FlinkDeployment", "another", nil)
	for _, reason := range []wrong{
		{"platform namespace", []string{"team-a"}, "vvpNamespace", "team-z"},
		{"id", []string{"team-a"}, "deploymentId", string(another.GetUID())},
		{"ambiguous", []string{"team-a", "team-b"}, "", ""},
	} {
		for name, place := range places {
			if place.never == reason.name {
				continue
			}
			t.Run(name+"/"+reason.name, func(t *testing.T) {
				t.Parallel()
				s := &situation{world: w, t: t, namespace: w.Namespace(t), name: "my-job", key: reason.key, value: reason.value}
				for _, platform := range reason.targets {
					if err := w.drey.Register(t.Context(), platform, platform+"-"+s.namespace, s.namespace); err != nil {
						t.Fatal(err)
					}
				}
				try := place.prepare(s)
				var denial string
				eventually.OK(t, 10*time.Second, func() error { // drey follows the cluster by watches
					err := try()
					if err == nil {
						return errors.New("not denied")
					}
					if denial = err.Error(); !strings.Contains(denial, "denied the request") {
						return err
					}
					return nil
				})
				if !strings.Contains(denial, fmt.Sprintf("namespace %q", s.namespace)) || !strings.Contains(denial, s.value) {
					t.Errorf("the denial does not say what is wrong: %s", denial)
				}
				s.mend(denial)
				eventually.OK(t, 10*time.Second, func() error {
					if err := try(); err != nil {
						return fmt.Errorf("%w\nafter the remedy of: %s", err, denial)
					}
					return nil
				})
				if s.keepsTeam && !s.hasTeam {
					t.Errorf("the remedy has lost a label: %s", denial)
				}
			})
		}
	}
}

// situation is what a remedy has to mend.
type situation struct {
	*world
	t          *testing.T
	namespace  string
	name       string
	key, value string // the label that is wrong; empty: one is missing

	file   string           // of the manifest that was refused
	client *clientOptions   // of Flink's client, which has none
	answer func(out string) // is called with what the command printed; may be nil

	keepsTeam bool // pods are to have the label team, which is beside the wrong one
	hasTeam   bool // one has
}

// place is where the labels of pods come from.
type place struct {
	prepare func(*situation) (try func() error)
	never   string // the name of the one reason that cannot be
}

var remedyOf = regexp.MustCompile(`(?s)(?:drey sets it|one of them): (.+?) (?:; or register one|\. \()`)

// mend does as a denial says.
func (s *situation) mend(denial string) {
	s.t.Helper()
	found := remedyOf.FindStringSubmatch(denial)
	if found == nil {
		s.t.Fatalf("no remedy in: %s", denial)
	}
	line := found[1]
	if option, ok := strings.CutPrefix(line, "run Flink's client again with -Dkubernetes.jobmanager.labels="); ok {
		option, _, _ = strings.Cut(option, " ")
		s.client.labels = pairsOf(option)
		return
	}
	if i := strings.Index(line, "kubectl "); i > 0 { // words of what to do with it
		line = line[i:]
	}
	if s.file == "" && strings.Contains(line, "FILE") {
		s.t.Fatalf("there is no file: %s", line)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", strings.ReplaceAll(line, "FILE", s.file))
	cmd.Env = s.KubectlCommand(ctx).Env
	cmd.Env = append(cmd.Env, "PATH="+filepath.Dir(s.Kubectl())+":"+os.Getenv("PATH"))
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v\n%s%s", line, err, &out, &diagnostics)
	}
	if s.answer != nil {
		s.answer(out.String())
	}
}

// labels are those that are wrong, beside some.
func (s *situation) labels(others ...string) map[string]any {
	all := map[string]any{}
	for i := 0; i < len(others); i += 2 {
		all[others[i]] = others[i+1]
	}
	if s.key != "" {
		all[s.key] = s.value
	}
	return all
}

// list is an option that lists them.
func (s *situation) list() string {
	if s.key == "" {
		return "team:blue"
	}
	return "team:blue," + s.key + ":" + s.value + ",tier:one"
}

var places = func() map[string]place {
	all := map[string]place{}
	for name, c := range customs {
		all["manifest of a "+name] = place{prepare: func(s *situation) func() error { s.keepsTeam = !c.own; return s.refusedCustom(c.object(s)) }}
		if !c.own {
			all["a "+name+" in the cluster"] = place{prepare: func(s *situation) func() error { s.keepsTeam = true; return s.runningCustom(c.object(s)) }}
		}
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout", "Job", "CronJob"} {
		all["manifest of a "+kind] = place{prepare: func(s *situation) func() error { return s.refusedManifest(kind, true, false) }}
		all["manifest of a "+kind+" for itself"] = place{prepare: func(s *situation) func() error { return s.refusedManifest(kind, false, true) }, never: "ambiguous"}
		all["manifest of a "+kind+" for both"] = place{prepare: func(s *situation) func() error { return s.refusedManifest(kind, true, true) }, never: "ambiguous"}
		all["a "+kind+" in the cluster"] = place{prepare: func(s *situation) func() error { return s.running(kind) }}
	}
	all["manifest of a Pod"] = place{prepare: (*situation).refusedPod}
	all["an option of Flink's client"] = place{prepare: (*situation).clientLabels}
	all["a pod template of Flink's client"] = place{prepare: (*situation).clientTemplate, never: "ambiguous"}
	return all
}()

// custom is a place in a custom resource that states labels of its pods.
type custom struct {
	spec string // with LABELS, or LIST for the value of an option
	own  bool   // the labels are the resource's, and not those of its pods
	kind string // empty: FlinkDeployment
}

// object is the custom resource.
func (c custom) object(s *situation) map[string]any {
	labels, err := json.Marshal(s.labels("team", "blue"))
	if err != nil {
		s.t.Fatal(err)
	}
	var o map[string]any
	if err := yaml.Unmarshal([]byte(strings.NewReplacer("LABELS", string(labels), "LIST", s.list()).Replace(c.spec)), &o); err != nil {
		s.t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: o}
	u.SetKind("FlinkDeployment")
	if c.kind != "" {
		u.SetKind(c.kind)
	}
	u.SetAPIVersion(resources[u.GetKind()].GroupVersion().String())
	u.SetName(s.name)
	return o
}

var customs = map[string]custom{
	"FlinkDeployment podTemplate":              {spec: `{spec: {job: {}, podTemplate: {metadata: {labels: LABELS}}}}`},
	"FlinkDeployment podTemplate of a session": {spec: `{spec: {podTemplate: {metadata: {labels: LABELS}}}}`},
	"FlinkDeployment JobManager's podTemplate": {spec: `{spec: {job: {}, podTemplate: {metadata: {labels: {a: b}}}, jobManager: {podTemplate: {metadata: {labels: LABELS}}}}}`},
	"FlinkDeployment both podTemplates":        {spec: `{spec: {job: {}, podTemplate: {metadata: {labels: LABELS}}, jobManager: {podTemplate: {metadata: {labels: LABELS}}}}}`},
	"FlinkDeployment standalone TaskManager's podTemplate": {
		spec: `{spec: {mode: standalone, job: {}, taskManager: {podTemplate: {metadata: {labels: LABELS}}}}}`},
	"FlinkDeployment option":                 {spec: `{spec: {job: {}, flinkConfiguration: {taskmanager.numberOfTaskSlots: "2", kubernetes.jobmanager.labels: "LIST"}}}`},
	"FlinkDeployment option and podTemplate": {spec: `{spec: {job: {}, podTemplate: {metadata: {labels: LABELS}}, flinkConfiguration: {kubernetes.jobmanager.labels: "LIST", kubernetes.taskmanager.labels: "LIST"}}}`},
	"FlinkDeployment nested option":          {spec: `{spec: {job: {}, flinkConfiguration: {kubernetes: {cluster-name: x, jobmanager: {labels: "LIST"}}}}}`},
	"FlinkDeployment option as a map":        {spec: `{spec: {job: {}, flinkConfiguration: {kubernetes.jobmanager: {labels: LABELS}}}}`},
	"FlinkDeployment standalone TaskManager's option": {
		spec: `{spec: {mode: standalone, job: {}, flinkConfiguration: {kubernetes.taskmanager.labels: "LIST"}}}`},
	"FlinkDeployment its own labels":       {spec: `{metadata: {labels: LABELS}, spec: {job: {}}}`, own: true},
	"FlinkBlueGreenDeployment podTemplate": {kind: "FlinkBlueGreenDeployment", spec: `{spec: {template: {spec: {job: {}, podTemplate: {metadata: {labels: LABELS}}}}}}`},
	"FlinkBlueGreenDeployment option":      {kind: "FlinkBlueGreenDeployment", spec: `{spec: {template: {spec: {job: {}, flinkConfiguration: {kubernetes.jobmanager.labels: "LIST"}}}}}`},
	"FlinkCluster JobManager":              {kind: "FlinkCluster", spec: `{spec: {jobManager: {podLabels: LABELS}, taskManager: {}}}`},
	"FlinkCluster TaskManager":             {kind: "FlinkCluster", spec: `{spec: {jobManager: {}, taskManager: {podLabels: LABELS}}}`},
	"FlinkApplication":                     {kind: "FlinkApplication", spec: `{metadata: {labels: LABELS}, spec: {image: "flink:2.2"}}`},
}

// refusedCustom applies a custom resource from a file, once, and has its operator do its
// work when that succeeds.
func (s *situation) refusedCustom(object map[string]any) func() error {
	s.writeManifest(object)
	return func() error {
		if _, err := s.get((&unstructured.Unstructured{Object: object}).GetKind()); apierrors.IsNotFound(err) {
			return s.apply()
		}
		return s.operate((&unstructured.Unstructured{Object: object}).GetKind())
	}
}

// runningCustom has a custom resource in the cluster that came while drey let it pass.
func (s *situation) runningCustom(object map[string]any) func() error {
	s.establish(object)
	return func() error {
		s.hasTeam = false
		return s.operate((&unstructured.Unstructured{Object: object}).GetKind())
	}
}

// establish makes an object while nothing is denied.
func (s *situation) establish(object map[string]any) {
	s.t.Helper()
	s.setMode(s.t, s.namespace, config.Audit)
	eventually.OK(s.t, 10*time.Second, func() error {
		_, err := s.create(s.t.Context(), s.namespace, clone(s.t, object))
		return err
	})
	s.setMode(s.t, s.namespace, config.Enforce)
}

func (s *situation) writeManifest(object map[string]any) {
	s.t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		s.t.Fatal(err)
	}
	s.file = writeFile(s.t, string(text))
}

func (s *situation) apply() error {
	out, err := s.RunKubectl(s.t, "", "apply", "-n", s.namespace, "-f", s.file)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (s *situation) get(kind string) (*unstructured.Unstructured, error) {
	return s.api.Resource(resources[kind]).Namespace(s.namespace).Get(s.t.Context(), s.name, metav1.GetOptions{})
}

// operate makes what the operator of a kind makes of its custom resource, and has the
// controllers make the pods of that.
func (s *situation) operate(kind string) error {
	cr, err := s.get(kind)
	if err != nil {
		return err
	}
	var made []map[string]any
	switch kind {
	case "FlinkBlueGreenDeployment":
		spec, _, _ := unstructured.NestedMap(cr.Object, "spec", "template", "spec")
		child := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		child.SetAPIVersion(cr.GetAPIVersion())
		child.SetKind("FlinkDeployment")
		child.SetName(s.name + "-blue")
		child.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(cr, cr.GroupVersionKind())})
		stored, err := s.remake(child.Object)
		if err != nil {
			return err
		}
		made = flinkOperator(stored)
	case "FlinkDeployment":
		made = flinkOperator(cr)
	case "FlinkCluster":
		made = spotifyOperator(cr)
	case "FlinkApplication":
		made = []map[string]any{lyftOperator(cr)}
	}
	for _, o := range made {
		stored, err := s.remake(o)
		if err != nil {
			return err
		}
		if err := s.makePod(stored); err != nil {
			return err
		}
	}
	return nil
}

// remake recreates an object.
func (s *situation) remake(object map[string]any) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{Object: object}
	api := s.api.Resource(resources[u.GetKind()]).Namespace(s.namespace)
	if err := api.Delete(s.t.Context(), u.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	return s.create(s.t.Context(), s.namespace, object)
}

// makePod makes a pod, dry, as the controllers of an object would.
func (s *situation) makePod(of *unstructured.Unstructured) error {
	path := []string{"spec", "template"}
	if of.GetKind() == "CronJob" {
		path = []string{"spec", "jobTemplate", "spec", "template"}
	}
	template, _, err := unstructured.NestedMap(of.Object, path...)
	if err != nil {
		return err
	}
	pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}}
	pod.SetName(of.GetName() + "-0")
	controller := *metav1.NewControllerRef(of, of.GroupVersionKind())
	switch of.GetKind() {
	case "Deployment":
		labels := pod.GetLabels()
		labels["pod-template-hash"] = "abc"
		pod.SetLabels(labels)
		controller.Kind, controller.Name, controller.UID = "ReplicaSet", of.GetName()+"-abc", "0a0a0a0a-0000-4000-8000-000000000001"
	case "CronJob", "Rollout":
		kind := map[string]string{"CronJob": "Job", "Rollout": "ReplicaSet"}[of.GetKind()]
		between := &unstructured.Unstructured{Object: map[string]any{"apiVersion": resources[kind].GroupVersion().String(), "kind": kind, "spec": map[string]any{"template": clone(s.t, template)}}}
		between.SetName(of.GetName() + "-1")
		between.SetOwnerReferences([]metav1.OwnerReference{controller})
		if kind == "ReplicaSet" {
			between.Object["spec"].(map[string]any)["selector"] = map[string]any{"matchLabels": map[string]any{"component": "jobmanager"}}
			between.Object["spec"].(map[string]any)["replicas"] = int64(0)
		} else {
			between.Object["spec"].(map[string]any)["suspend"] = true
		}
		stored, err := s.remake(between.Object)
		if err != nil {
			return err
		}
		controller = *metav1.NewControllerRef(stored, stored.GroupVersionKind())
	}
	pod.SetOwnerReferences([]metav1.OwnerReference{controller})
	s.hasTeam = s.hasTeam || pod.GetLabels()["team"] == "blue"
	_, err = s.create(s.t.Context(), s.namespace, pod.Object, "All")
	return err
}

// flinkOperator is what Flink's operator makes of a FlinkDeployment: the labels of its
// pods are those of the templates, under those of the configuration, under Flink's own.
func flinkOperator(cr *unstructured.Unstructured) []map[string]any {
	name := cr.GetName()
	mode, _, _ := unstructured.NestedString(cr.Object, "spec", "mode")
	_, hasJob, _ := unstructured.NestedMap(cr.Object, "spec", "job")
	configuration, _, _ := unstructured.NestedMap(cr.Object, "spec", "flinkConfiguration")
	flat := map[string]string{}
	flatten(configuration, "", flat)
	deployment := func(name, role, option, kind string, container map[string]any) map[string]any {
		common := map[string]any{"app": cr.GetName(), "type": kind, "component": role}
		listed, template := map[string]any{}, map[string]any{}
		for key, value := range pairsOf(flat[option]) {
			listed[key] = value
		}
		for key, value := range flat {
			if key, ok := strings.CutPrefix(key, option+"."); ok {
				listed[key] = value
			}
		}
		for _, path := range [][]string{{"spec", "podTemplate", "metadata", "labels"}, {"spec", role[:1] + map[string]string{"jobmanager": "obManager", "taskmanager": "askManager"}[role], "podTemplate", "metadata", "labels"}} {
			labels, _, _ := unstructured.NestedMap(cr.Object, path...)
			maps.Copy(template, labels)
		}
		maps.Copy(listed, common)
		maps.Copy(template, listed)
		return controllerOf(cr, false, "Deployment", name, listed, template, common, container)
	}
	if mode != "standalone" {
		start := "kubernetes-jobmanager.sh kubernetes-session"
		if hasJob {
			start = "kubernetes-jobmanager.sh kubernetes-application"
		}
		return []map[string]any{deployment(name, "jobmanager", "kubernetes.jobmanager.labels", "flink-native-kubernetes",
			map[string]any{"name": "flink-main-container", "image": "flink:2.2", "args": []any{"bash", "-c", start}})}
	}
	const kind = "flink-standalone-kubernetes"
	return []map[string]any{
		deployment(name, "jobmanager", "kubernetes.jobmanager.labels", kind, map[string]any{"name": "flink-main-container", "image": "flink:2.2", "args": []any{"standalone-job"}}),
		deployment(name+"-taskmanager", "taskmanager", "kubernetes.taskmanager.labels", kind, map[string]any{"name": "flink-main-container", "image": "flink:2.2", "args": []any{"taskmanager"}}),
	}
}

// flatten joins the names of a nested configuration by dots, as the operator does.
func flatten(node map[string]any, name string, into map[string]string) {
	for key, value := range node {
		if name != "" {
			key = name + "." + key
		}
		if inner, ok := value.(map[string]any); ok {
			flatten(inner, key, into)
			continue
		}
		into[key] = fmt.Sprint(value)
	}
}

func pairsOf(list string) map[string]string {
	pairs := map[string]string{}
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(entry, ":")
		pairs[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return pairs
}

// spotifyOperator is what spotify's makes of a FlinkCluster: the labels of a role are
// those of its pods, and their selector.
func spotifyOperator(cr *unstructured.Unstructured) []map[string]any {
	var made []map[string]any
	for role, field := range map[string]string{"jobmanager": "jobManager", "taskmanager": "taskManager"} {
		labels := map[string]any{"cluster": cr.GetName(), "app": "flink", "component": role}
		given, _, _ := unstructured.NestedMap(cr.Object, "spec", field, "podLabels")
		maps.Copy(labels, given)
		made = append(made, controllerOf(cr, true, "StatefulSet", cr.GetName()+"-"+role, labels, labels, labels,
			map[string]any{"name": role, "image": "flink:2.2", "args": []any{role}}))
	}
	return made
}

// lyftOperator is what lyft's makes of a FlinkApplication, whose own labels its pods get.
func lyftOperator(cr *unstructured.Unstructured) map[string]any {
	labels := map[string]any{"flink-app": cr.GetName()}
	for key, value := range cr.GetLabels() {
		labels[key] = value
	}
	labels["flink-deployment-type"], labels["flink-app-hash"] = "jobmanager", "abc"
	return controllerOf(cr, true, "Deployment", cr.GetName()+"-abc-jm", labels, labels, labels, map[string]any{"name": "jobmanager", "image": "flink:2.2", "args": []any{"jobmanager"}})
}

func controllerOf(cr *unstructured.Unstructured, controls bool, kind, name string, labels, podLabels, selector, container map[string]any) map[string]any {
	ref := metav1.NewControllerRef(cr, cr.GroupVersionKind())
	ref.Controller = &controls
	o := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": maps.Clone(selector)},
			"template": map[string]any{"metadata": map[string]any{"labels": maps.Clone(podLabels)}, "spec": map[string]any{"containers": []any{container}}},
		},
		"metadata": map[string]any{"labels": maps.Clone(labels)},
	}}
	if kind == "StatefulSet" {
		o.Object["spec"].(map[string]any)["serviceName"] = name
	}
	o.SetAPIVersion("apps/v1")
	o.SetKind(kind)
	o.SetName(name)
	o.SetOwnerReferences([]metav1.OwnerReference{*ref})
	return o.Object
}

// docs is a controller with the YAML of Flink's documentation.
func (s *situation) docs(kind string, template, own bool) map[string]any {
	podLabels, labels := map[string]any{"app": "flink", "component": "jobmanager"}, map[string]any{"team": "blue"}
	if template {
		maps.Copy(podLabels, s.labels())
	}
	if own {
		maps.Copy(labels, s.labels())
	}
	podSpec := map[string]any{"containers": []any{map[string]any{"name": "jobmanager", "image": "flink:2.2", "args": []any{"standalone-job"}}}}
	pods := map[string]any{"metadata": map[string]any{"labels": podLabels}, "spec": podSpec}
	selector := map[string]any{"matchLabels": map[string]any{"app": "flink", "component": "jobmanager"}}
	spec := map[string]any{"template": pods, "selector": selector, "replicas": int64(0)}
	switch kind {
	case "StatefulSet":
		spec["serviceName"] = "x"
	case "DaemonSet":
		delete(spec, "replicas")
	case "ReplicationController":
		spec["selector"] = selector["matchLabels"]
	case "Job":
		podSpec["restartPolicy"] = "Never"
		spec = map[string]any{"suspend": true, "template": pods}
	case "CronJob":
		podSpec["restartPolicy"] = "Never"
		spec = map[string]any{"suspend": true, "schedule": "0 3 * * *", "jobTemplate": map[string]any{"spec": map[string]any{"template": pods}}}
	}
	o := map[string]any{"apiVersion": resources[kind].GroupVersion().String(), "kind": kind, "metadata": map[string]any{"name": s.name, "labels": labels}, "spec": spec}
	if (kind == "Job" || kind == "ReplicationController") && !own {
		delete(o["metadata"].(map[string]any), "labels") // the API server gives it those of its template
	}
	return o
}

// refusedManifest applies a controller from a file, and makes its pods once it is there.
func (s *situation) refusedManifest(kind string, template, own bool) func() error {
	s.writeManifest(s.docs(kind, template, own))
	return func() error {
		made, err := s.get(kind)
		if apierrors.IsNotFound(err) {
			return s.apply()
		}
		if err != nil {
			return err
		}
		return s.makePod(made)
	}
}

// running has a controller in the cluster that came while drey let it pass.
func (s *situation) running(kind string) func() error {
	s.establish(s.docs(kind, true, false))
	return func() error {
		made, err := s.get(kind)
		if err != nil {
			return err
		}
		return s.makePod(made)
	}
}

func (s *situation) refusedPod() func() error {
	s.writeManifest(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": s.name, "labels": s.labels("app", "flink", "component", "jobmanager")},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "jobmanager", "image": "flink:2.2", "args": []any{"standalone-job"}}}},
	})
	return func() error {
		if _, err := s.get("Pod"); err == nil {
			return nil
		}
		return s.apply()
	}
}

// clientOptions are those of Flink's client.
type clientOptions struct {
	labels   map[string]string // kubernetes.jobmanager.labels
	template map[string]string // labels of the pod template file
}

// deployment is what Flink's client makes of them.
func (c clientOptions) deployment(name string) map[string]any {
	common := map[string]any{"app": name, "component": "jobmanager", "type": "flink-native-kubernetes"}
	labels, pods := map[string]any{}, map[string]any{}
	for key, value := range c.template {
		pods[key] = value
	}
	for key, value := range c.labels {
		labels[key] = value
	}
	maps.Copy(labels, common)
	maps.Copy(pods, labels)
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name, "labels": labels},
		"spec": map[string]any{
			"replicas": int64(1), "selector": map[string]any{"matchLabels": common},
			"template": map[string]any{"metadata": map[string]any{"labels": pods}, "spec": map[string]any{"containers": []any{map[string]any{
				"name": "flink-main-container", "image": "flink:2.2", "args": []any{"bash", "-c", "kubernetes-jobmanager.sh kubernetes-application"},
			}}}},
		},
	}
}

func (s *situation) runClient() error {
	_, err := s.create(s.t.Context(), s.namespace, s.client.deployment(s.name), "All")
	if err == nil && s.client.labels["team"] != "blue" && s.client.template["team"] != "blue" {
		s.t.Errorf("the remedy has lost a label: %+v", s.client)
	}
	return err
}

func (s *situation) clientLabels() func() error {
	s.client = &clientOptions{labels: pairsOf(s.list())}
	return s.runClient
}

func (s *situation) clientTemplate() func() error {
	s.client = &clientOptions{template: map[string]string{"team": "blue", s.key: s.value}}
	s.writeManifest(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "pod-template", "labels": s.labels("team", "blue")}})
	s.answer = func(out string) {
		var file struct {
			Metadata struct{ Labels map[string]string }
		}
		if err := yaml.Unmarshal([]byte(out), &file); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		s.client.template = file.Metadata.Labels
	}
	return s.runClient
}
