package flink

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/webhook/verdict"
)

// dreyLabels are the label keys that drey adds to Flink's objects. Flink itself sets app.
var dreyLabels = []string{
	verdict.LabelSystem, verdict.LabelPlatformNamespace, verdict.LabelDeploymentID, verdict.LabelDeploymentName,
	verdict.LabelJobID, verdict.LabelSessionClusterID, verdict.LabelSessionClusterName,
}

// isDreys reports whether drey sets a label or an annotation.
func isDreys(key string) bool {
	return slices.Contains(dreyLabels, key) || strings.HasPrefix(key, "drey.dev/")
}

// dump writes the objects of a cluster into the directory of -dump, one per role and kind,
// without drey's labels and with stable values in place of random ones.
func (w *world) dump(scenario, clusterID string) {
	w.t.Helper()
	if *dumpFlag == "" {
		return
	}
	objects := w.objects(clusterID)
	if err := os.MkdirAll(*dumpFlag, 0o755); err != nil {
		w.t.Fatal(err)
	}
	a := w.newAnonymizer(clusterID, objects)
	for _, o := range objects {
		text, err := a.yaml(o)
		if err != nil {
			w.t.Fatal(err)
		}
		path := filepath.Join(*dumpFlag, w.version+"-"+scenario+"-"+fileName(o)+".yaml")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// anonymizer replaces values that depend on the run or the machine.
type anonymizer struct {
	words *strings.Replacer
	noise []substitution
}

// substitution replaces the matches of a pattern.
type substitution struct {
	pattern *regexp.Regexp
	with    string
}

func (w *world) newAnonymizer(clusterID string, objects []unstructured.Unstructured) *anonymizer {
	w.t.Helper()
	ports, err := w.runtime.Ports(w.namespace, clusterID)
	if err != nil {
		w.t.Fatal(err)
	}
	a := &anonymizer{noise: slices.Clone(noise)}
	for _, p := range [][2]string{{ports.REST, "8081"}, {ports.RPC, "6123"}, {ports.Blob, "6124"}} {
		a.noise = append(a.noise, substitution{regexp.MustCompile(`\b` + p[0] + `\b`), p[1]})
	}
	pairs := []string{
		w.runtime.Home, "/opt/flink",
		w.runtime.Kubeconfig, "/opt/flink/kubeconfig",
		w.client.Conf, "/opt/flink/conf",
		w.client.Dist.Dir, "/opt/flink",
		w.dir, "/tmp",
		w.namespace, "flink",
	}
	// Include the uids of owners that are not among the objects.
	uids := map[string]string{}
	add := func(kind, uid string) {
		if uids[uid] == "" {
			uids[uid] = stableUID(kind, len(uids))
		}
	}
	for _, o := range objects {
		add(o.GetKind(), string(o.GetUID()))
		for _, owner := range o.GetOwnerReferences() {
			add(owner.Kind, string(owner.UID))
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(uids)) {
		pairs = append(pairs, uid, uids[uid])
	}
	a.words = strings.NewReplacer(pairs...)
	return a
}

// stableUID returns a uid that shows the kind of its object.
func stableUID(kind string, n int) string {
	digits := map[string]string{"Deployment": "d", "ReplicaSet": "e", "Pod": "a", "Service": "5", "ConfigMap": "c"}[kind]
	if digits == "" {
		digits = "f"
	}
	return fmt.Sprintf("%s-0000-4000-8000-%012d", strings.Repeat(digits, 8), n)
}

// noise are the substitutions of values that depend on the run.
var noise = []substitution{
	{regexp.MustCompile(`[^\s'"=]*/flink-web-[0-9a-f-]{36}`), "/tmp/flink-web-00000000-0000-4000-8000-000000000000"},
	{regexp.MustCompile(`kube-api-access-[a-z0-9]{5}\b`), "kube-api-access-x2x4z"},
	{regexp.MustCompile(`(pod-template-hash: )\S+`), "${1}6d4b9c8f7d"},
	{regexp.MustCompile(`(name: \S+)-[0-9a-f]{8,10}(-[a-z0-9]{5})?\n`), "${1}-6d4b9c8f7d${2}\n"}, // a ReplicaSet, or a pod of one
	{regexp.MustCompile(`(-6d4b9c8f7d)-[a-z0-9]{5}\n`), "${1}-x2x4z\n"},
	{regexp.MustCompile(`(generateName: \S+)-[0-9a-f]{8,10}-\n`), "${1}-6d4b9c8f7d-\n"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "a0000000000000000000000000000001"}, // not a number in YAML
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "10.0.0.1:6123"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT[0-9:.]+Z`), "2026-01-01T00:00:00Z"},
}

// yaml returns an object in YAML. It marshals again after the replacements, since the folding
// of lines depends on their length.
func (a *anonymizer) yaml(o unstructured.Unstructured) ([]byte, error) {
	raw, err := yaml.Marshal(asMade(o))
	if err != nil {
		return nil, err
	}
	text := a.words.Replace(string(raw))
	for _, n := range a.noise {
		text = n.pattern.ReplaceAllString(text, n.with)
	}
	var replaced map[string]any
	if err := yaml.Unmarshal([]byte(text), &replaced); err != nil {
		return nil, err
	}
	return yaml.Marshal(replaced)
}

// asMade drops the fields that the API server, the kubelet and drey have added.
func asMade(o unstructured.Unstructured) map[string]any {
	o = *o.DeepCopy()
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	maps.DeleteFunc(labels, func(key, _ string) bool { return isDreys(key) })
	maps.DeleteFunc(annotations, func(key, _ string) bool { return isDreys(key) })
	o.SetLabels(labels)
	if isHighAvailability(o) {
		unstructured.RemoveNestedField(o.Object, "data") // serialized addresses and paths
		delete(annotations, "control-plane.alpha.kubernetes.io/leader")
	}
	if len(annotations) == 0 {
		annotations = nil
	}
	o.SetAnnotations(annotations)
	drop := [][]string{
		{"metadata", "managedFields"}, {"metadata", "creationTimestamp"}, {"metadata", "resourceVersion"}, {"metadata", "generation"}, {"status"},
	}
	if ip, _, _ := unstructured.NestedString(o.Object, "spec", "clusterIP"); ip != "None" { // Flink sets None
		drop = append(drop, []string{"spec", "clusterIP"}, []string{"spec", "clusterIPs"})
	}
	for _, path := range drop {
		unstructured.RemoveNestedField(o.Object, path...)
	}
	if ports, ok, _ := unstructured.NestedSlice(o.Object, "spec", "ports"); ok {
		for _, p := range ports {
			delete(p.(map[string]any), "nodePort")
		}
		_ = unstructured.SetNestedSlice(o.Object, ports, "spec", "ports") // it was there
	}
	return o.Object
}

// fileName returns role and kind of an object, such as jobmanager-pod.
func fileName(o unstructured.Unstructured) string {
	kind := strings.ToLower(o.GetKind())
	switch role := o.GetLabels()["component"]; {
	case kind == "pod", kind == "deployment" && role != "":
		return role + "-" + kind
	case isHighAvailability(o) && strings.HasSuffix(o.GetName(), "-cluster-config-map"):
		return "ha-cluster-configmap"
	case isHighAvailability(o):
		return "ha-job-configmap"
	case kind == "configmap":
		return strings.TrimSuffix(o.GetName(), "-"+o.GetLabels()["app"]) + "-configmap"
	default:
		suffix := strings.TrimPrefix(o.GetName(), o.GetLabels()["app"])
		return strings.TrimPrefix(strings.Trim(suffix, "-")+"-"+kind, "-")
	}
}

// isHighAvailability reports whether an object is a high-availability ConfigMap, which has
// no owner because it outlives the cluster.
func isHighAvailability(o unstructured.Unstructured) bool {
	return o.GetKind() == "ConfigMap" && len(o.GetOwnerReferences()) == 0 && strings.HasSuffix(o.GetName(), "-config-map")
}
