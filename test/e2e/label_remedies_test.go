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
	webhookconfig "drey.dev/drey/webhook/config"
)

// denialReason is a reason to deny a pod for its labels.
type denialReason struct {
	name       string
	targets    []string // platform namespaces with a target
	key, value string   // of the wrong label; empty: a label is missing
}

// TestRemedies runs the command of each denial for another platform namespace in a shell, for
// each place that pods get their labels from: afterwards the pods are allowed.
func TestRemedies(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	w.runRemedies(t, denialReason{"platform namespace", []string{"team-a"}, "vvpNamespace", "team-z"})
}

// TestRemediesOtherReasons is [TestRemedies] for denials for another id, and for several targets.
func TestRemediesOtherReasons(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	elsewhere := w.Namespace(t)
	w.setMode(t, elsewhere, webhookconfig.Audit)
	another := w.createOwned(t, elsewhere, "FlinkDeployment", "another", nil)
	w.runRemedies(t,
		denialReason{"id", []string{"team-a"}, "deploymentId", string(another.GetUID())},
		denialReason{"ambiguous", []string{"team-a", "team-b"}, "", ""})
}

// runRemedies has pods denied for each reason, from each source of their labels, and runs the
// remedies.
func (w *world) runRemedies(t *testing.T, reasons ...denialReason) {
	for _, reason := range reasons {
		for name, source := range labelSources {
			if source.except == reason.name {
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
				createPod := source.prepare(s)
				var denial string
				eventually.OK(t, func() error { // drey follows the cluster by watches
					err := createPod()
					if err == nil {
						return errors.New("allowed")
					}
					if denial = err.Error(); !strings.Contains(denial, "denied the request") || !strings.Contains(denial, s.remedy) {
						return err
					}
					return nil
				})
				if !strings.Contains(denial, fmt.Sprintf("namespace %q", s.namespace)) || !strings.Contains(denial, s.value) {
					t.Errorf("denial: got %s, want it to contain the namespace %q and the value %q", denial, s.namespace, s.value)
				}
				s.applyRemedy(denial)
				eventually.OK(t, func() error {
					if err := createPod(); err != nil {
						return fmt.Errorf("%w\nafter the remedy of: %s", err, denial)
					}
					return nil
				})
				if s.wantTeam && !s.hasTeam {
					t.Errorf("the remedy has removed the label team: %s", denial)
				}
			})
		}
	}
}

// situation is a denial of pods that a remedy resolves.
type situation struct {
	*world
	t          *testing.T
	namespace  string
	name       string
	key, value string // of the wrong label; empty: a label is missing

	remedy string           // part of the denial once drey's caches have the object
	object map[string]any   // of the denied manifest; nil: none
	file   string           // path of the manifest
	client *clientOptions   // of Flink's client, which has no manifest
	onOut  func(out string) // gets the output of the command; may be nil

	wantTeam bool // pods have the label team next to the wrong one
	hasTeam  bool // a pod has had it
}

// labelSource is a place that pods get their labels from.
type labelSource struct {
	prepare func(*situation) (createPod func() error)
	except  string // the name of a reason that does not apply
}

var remedyOf = regexp.MustCompile(`(?s)(?:drey sets it|one of them): (.+?) (?:; or register one|\. \()`)

// applyRemedy runs the command of a denial.
func (s *situation) applyRemedy(denial string) {
	s.t.Helper()
	found := remedyOf.FindStringSubmatch(denial)
	if found == nil {
		s.t.Fatalf("no remedy in the denial: %s", denial)
	}
	line := found[1]
	if option, ok := strings.CutPrefix(line, "run Flink's client again with -Dkubernetes.jobmanager.labels="); ok {
		option, _, _ = strings.Cut(option, " ")
		s.client.labels = parseLabelOption(option)
		return
	}
	if i := strings.Index(line, "kubectl "); i > 0 { // after an instruction
		line = line[i:]
	}
	if s.file == "" && strings.Contains(line, "FILE") {
		s.t.Fatalf("remedy for a manifest, but the situation has none: %s", line)
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
	if s.onOut != nil {
		s.onOut(out.String())
	}
}

// labels returns the wrong label and others, given as keys and values.
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

// labelOption returns the value of a Flink option with the wrong label and others.
func (s *situation) labelOption() string {
	if s.key == "" {
		return "team:blue"
	}
	return "team:blue," + s.key + ":" + s.value + ",tier:one"
}

var labelSources = func() map[string]labelSource {
	all := map[string]labelSource{}
	for name, c := range customs {
		all["manifest of a "+name] = labelSource{prepare: func(s *situation) func() error { s.wantTeam = !c.own; return s.deniedCustom(c.object(s)) }}
		if !c.own {
			all[name+" in the cluster"] = labelSource{prepare: func(s *situation) func() error { s.wantTeam = true; return s.storedCustom(c.object(s)) }}
		}
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout", "Job", "CronJob"} {
		all["manifest of a "+kind] = labelSource{prepare: func(s *situation) func() error { return s.deniedManifest(kind, true, false) }}
		all["manifest of a "+kind+" with own labels"] = labelSource{prepare: func(s *situation) func() error { return s.deniedManifest(kind, false, true) }, except: "ambiguous"}
		all["manifest of a "+kind+" with own and template labels"] = labelSource{prepare: func(s *situation) func() error { return s.deniedManifest(kind, true, true) }, except: "ambiguous"}
		all[kind+" in the cluster"] = labelSource{prepare: func(s *situation) func() error { return s.storedWorkload(kind) }}
	}
	all["manifest of a Pod"] = labelSource{prepare: (*situation).deniedPod}
	all["option of Flink's client"] = labelSource{prepare: (*situation).clientLabels}
	all["pod template of Flink's client"] = labelSource{prepare: (*situation).clientTemplate, except: "ambiguous"}
	return all
}()

// custom is a field of a custom resource with labels of its pods.
type custom struct {
	spec string // with LABELS for a map, and LIST for the value of an option
	own  bool   // the labels are those of the resource, not of its pods
	kind string // empty: FlinkDeployment
}

// object returns the custom resource.
func (c custom) object(s *situation) map[string]any {
	labels, err := json.Marshal(s.labels("team", "blue"))
	if err != nil {
		s.t.Fatal(err)
	}
	var o map[string]any
	if err := yaml.Unmarshal([]byte(strings.NewReplacer("LABELS", string(labels), "LIST", s.labelOption()).Replace(c.spec)), &o); err != nil {
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
	"FlinkDeployment session podTemplate":      {spec: `{spec: {podTemplate: {metadata: {labels: LABELS}}}}`},
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

// deniedCustom creates a custom resource until that is allowed, and then acts as
// its operator.
func (s *situation) deniedCustom(object map[string]any) func() error {
	s.writeObject(object)
	return func() error {
		if _, err := s.read((&unstructured.Unstructured{Object: object}).GetKind()); apierrors.IsNotFound(err) {
			return s.createObject()
		}
		return s.operate((&unstructured.Unstructured{Object: object}).GetKind())
	}
}

// storedCustom creates a custom resource in mode audit, and acts as its operator.
func (s *situation) storedCustom(object map[string]any) func() error {
	s.createUnchecked(object)
	s.remedy = "kubectl patch " + strings.ToLower((&unstructured.Unstructured{Object: object}).GetKind()) + " " + s.name
	return func() error {
		s.hasTeam = false
		return s.operate((&unstructured.Unstructured{Object: object}).GetKind())
	}
}

// createUnchecked creates an object in mode audit.
func (s *situation) createUnchecked(object map[string]any) {
	s.t.Helper()
	s.setMode(s.t, s.namespace, webhookconfig.Audit)
	eventually.OK(s.t, func() error {
		_, err := s.create(s.t.Context(), s.namespace, deepCopy(s.t, object))
		return err
	})
	s.setMode(s.t, s.namespace, webhookconfig.Enforce)
}

// writeObject writes the manifest of an object.
func (s *situation) writeObject(object map[string]any) {
	s.t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		s.t.Fatal(err)
	}
	s.object, s.file = object, writeManifest(s.t, string(text))
}

// createObject creates the object of the manifest. The remedy of a denial applies the manifest
// with kubectl.
func (s *situation) createObject() error {
	_, err := s.create(s.t.Context(), s.namespace, deepCopy(s.t, s.object))
	return err
}

func (s *situation) read(kind string) (*unstructured.Unstructured, error) {
	return s.api.Resource(resources[kind]).Namespace(s.namespace).Get(s.t.Context(), s.name, metav1.GetOptions{})
}

// operate creates the workloads that the operator of a kind creates for its custom resource,
// and the pods of their controllers.
func (s *situation) operate(kind string) error {
	cr, err := s.read(kind)
	if err != nil {
		return err
	}
	var workloads []map[string]any
	switch kind {
	case "FlinkBlueGreenDeployment":
		spec, _, _ := unstructured.NestedMap(cr.Object, "spec", "template", "spec")
		child := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		child.SetAPIVersion(cr.GetAPIVersion())
		child.SetKind("FlinkDeployment")
		child.SetName(s.name + "-blue")
		child.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(cr, cr.GroupVersionKind())})
		stored, err := s.recreate(child.Object)
		if err != nil {
			return err
		}
		workloads = flinkOperator(stored)
	case "FlinkDeployment":
		workloads = flinkOperator(cr)
	case "FlinkCluster":
		workloads = spotifyOperator(cr)
	case "FlinkApplication":
		workloads = []map[string]any{lyftOperator(cr)}
	}
	for _, o := range workloads {
		stored, err := s.recreate(o)
		if err != nil {
			return err
		}
		if err := s.createPod(stored); err != nil {
			return err
		}
	}
	return nil
}

// recreate deletes an object, and creates it again.
func (s *situation) recreate(object map[string]any) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{Object: object}
	api := s.api.Resource(resources[u.GetKind()]).Namespace(s.namespace)
	if err := api.Delete(s.t.Context(), u.GetName(), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}); err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	return s.create(s.t.Context(), s.namespace, object)
}

// createPod creates a pod in a dry run, as the controllers of a workload do.
func (s *situation) createPod(of *unstructured.Unstructured) error {
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
		between := &unstructured.Unstructured{Object: map[string]any{"apiVersion": resources[kind].GroupVersion().String(), "kind": kind, "spec": map[string]any{"template": deepCopy(s.t, template)}}}
		between.SetName(of.GetName() + "-1")
		between.SetOwnerReferences([]metav1.OwnerReference{controller})
		if kind == "ReplicaSet" {
			between.Object["spec"].(map[string]any)["selector"] = map[string]any{"matchLabels": map[string]any{"component": "jobmanager"}}
			between.Object["spec"].(map[string]any)["replicas"] = int64(0)
		} else {
			between.Object["spec"].(map[string]any)["suspend"] = true
		}
		stored, err := s.recreate(between.Object)
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

// flinkOperator returns the Deployments that Flink's operator creates for a FlinkDeployment. The
// labels of the configuration override those of the pod templates, and Flink's own override
// both.
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
		for key, value := range parseLabelOption(flat[option]) {
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
		return operatorWorkload(cr, false, "Deployment", name, listed, template, common, container)
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

// flatten joins the keys of a nested configuration by dots, as the operator does.
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

// parseLabelOption parses the value of a Flink option with labels.
func parseLabelOption(list string) map[string]string {
	pairs := map[string]string{}
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(entry, ":")
		pairs[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return pairs
}

// spotifyOperator returns the StatefulSets that spotify's operator creates for a FlinkCluster.
// The labels of a role are those of its pods and of their selector.
func spotifyOperator(cr *unstructured.Unstructured) []map[string]any {
	var workloads []map[string]any
	for role, field := range map[string]string{"jobmanager": "jobManager", "taskmanager": "taskManager"} {
		labels := map[string]any{"cluster": cr.GetName(), "app": "flink", "component": role}
		given, _, _ := unstructured.NestedMap(cr.Object, "spec", field, "podLabels")
		maps.Copy(labels, given)
		workloads = append(workloads, operatorWorkload(cr, true, "StatefulSet", cr.GetName()+"-"+role, labels, labels, labels,
			map[string]any{"name": role, "image": "flink:2.2", "args": []any{role}}))
	}
	return workloads
}

// lyftOperator returns the Deployment that lyft's operator creates for a FlinkApplication. Its
// pods have the labels of the custom resource.
func lyftOperator(cr *unstructured.Unstructured) map[string]any {
	labels := map[string]any{"flink-app": cr.GetName()}
	for key, value := range cr.GetLabels() {
		labels[key] = value
	}
	labels["flink-deployment-type"], labels["flink-app-hash"] = "jobmanager", "abc"
	return operatorWorkload(cr, true, "Deployment", cr.GetName()+"-abc-jm", labels, labels, labels, map[string]any{"name": "jobmanager", "image": "flink:2.2", "args": []any{"jobmanager"}})
}

// operatorWorkload returns a workload owned by a custom resource, without replicas.
func operatorWorkload(cr *unstructured.Unstructured, controls bool, kind, name string, labels, podLabels, selector, container map[string]any) map[string]any {
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

// workload returns a workload as in Flink's documentation. template and own choose where the
// wrong label is.
func (s *situation) workload(kind string, template, own bool) map[string]any {
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
		delete(o["metadata"].(map[string]any), "labels") // default: the labels of the template
	}
	return o
}

// deniedManifest creates a workload until that is allowed, and then creates its
// pods.
func (s *situation) deniedManifest(kind string, template, own bool) func() error {
	s.writeObject(s.workload(kind, template, own))
	return func() error {
		stored, err := s.read(kind)
		if apierrors.IsNotFound(err) {
			return s.createObject()
		}
		if err != nil {
			return err
		}
		return s.createPod(stored)
	}
}

// storedWorkload creates a workload in mode audit, and its pods.
func (s *situation) storedWorkload(kind string) func() error {
	s.createUnchecked(s.workload(kind, true, false))
	return func() error {
		stored, err := s.read(kind)
		if err != nil {
			return err
		}
		return s.createPod(stored)
	}
}

// deniedPod creates a pod.
func (s *situation) deniedPod() func() error {
	s.writeObject(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": s.name, "labels": s.labels("app", "flink", "component", "jobmanager")},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "jobmanager", "image": "flink:2.2", "args": []any{"standalone-job"}}}},
	})
	return func() error {
		if _, err := s.read("Pod"); err == nil {
			return nil
		}
		return s.createObject()
	}
}

// clientOptions are options of Flink's client.
type clientOptions struct {
	labels   map[string]string // kubernetes.jobmanager.labels
	template map[string]string // labels of the pod template file
}

// deployment returns the Deployment that Flink's client creates.
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

// runClient creates the Deployment of Flink's client in a dry run.
func (s *situation) runClient() error {
	_, err := s.create(s.t.Context(), s.namespace, s.client.deployment(s.name), "All")
	if err == nil && s.client.labels["team"] != "blue" && s.client.template["team"] != "blue" {
		s.t.Errorf("the remedy has removed the label team: %+v", s.client)
	}
	return err
}

func (s *situation) clientLabels() func() error {
	s.client = &clientOptions{labels: parseLabelOption(s.labelOption())}
	return s.runClient
}

func (s *situation) clientTemplate() func() error {
	s.client = &clientOptions{template: map[string]string{"team": "blue", s.key: s.value}}
	s.writeObject(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "pod-template", "labels": s.labels("team", "blue")}})
	s.onOut = func(out string) {
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
