package reports

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
)

const (
	// deniedFor is how long a denial stays in a report.
	deniedFor = 24 * time.Hour

	maxResults = 300 // of a report; failures precede the others

	pass, warn, fail = "pass", "warn", "fail"
	enforce          = "enforce" // the mode that denies
)

// order is the order of results in a report.
var order = []string{fail, warn, pass}

var severities = map[string]string{fail: "high", warn: "medium", pass: "info"}

// result is an entry of a report.
type result struct {
	Source     string            `json:"source"`
	Policy     string            `json:"policy"`
	Rule       string            `json:"rule"`
	Category   string            `json:"category"`
	Severity   string            `json:"severity"`
	Result     string            `json:"result"`
	Scored     bool              `json:"scored"`
	Message    string            `json:"message"`
	Timestamp  timestamp         `json:"timestamp"`
	Resources  []resource        `json:"resources"`
	Properties map[string]string `json:"properties,omitempty"`
}

type timestamp struct {
	Seconds int64 `json:"seconds"`
	Nanos   int32 `json:"nanos"`
}

type resource struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
}

func newResult(rule, outcome, message string, at time.Time, about resource) result {
	return result{
		Source: Name, Policy: Name, Rule: rule, Category: "Flink", Severity: severities[outcome], Result: outcome, Scored: true, Message: message,
		Timestamp: timestamp{Seconds: at.Unix()}, Resources: []resource{about},
	}
}

// results returns the results of a namespace: one for each workload, and one for each denial
// of the last day whose object has not been admitted since.
func (w *Writer) results(namespace string) ([]result, error) {
	workloads, err := w.o.Inventory.List(inventory.Query{Filter: inventory.Filter{Namespace: namespace}})
	if err != nil {
		return nil, err
	}
	denied, err := w.o.Denials.List(denials.Query{Filter: denials.Filter{Namespace: namespace, Since: w.now().Add(-deniedFor)}})
	if err != nil {
		return nil, err
	}
	admitted := map[string]time.Time{}
	var all []result
	for _, workload := range workloads.Items {
		admitted[workload.Key()] = workload.Since
		all = append(all, w.ofWorkload(workload))
	}
	for _, d := range denied.Items {
		about := w.deniedObject(d)
		if since, ok := admitted[namespace+"/"+about.Kind+"/"+about.Name]; ok && since.After(d.Last) {
			continue
		}
		all = append(all, ofDenial(d, about))
	}
	slices.SortStableFunc(all, func(a, b result) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Result), slices.Index(order, b.Result)), cmp.Compare(a.Resources[0].Kind, b.Resources[0].Kind),
			cmp.Compare(a.Resources[0].Name, b.Resources[0].Name), cmp.Compare(a.Rule, b.Rule))
	})
	return all[:min(len(all), maxResults)], nil
}

// ofWorkload returns whether a workload is where a target admits it, with consistent labels.
func (w *Writer) ofWorkload(o inventory.Workload) result {
	about := resource{w.o.APIVersion(o.Owner.Kind), o.Owner.Kind, o.Namespace, o.Owner.Name, o.Owner.UID}
	switch {
	case o.Misplaced:
		return newResult("placement", fail, fmt.Sprintf("namespace %q has no DeploymentTarget: drey audit shows the command that registers one", o.Namespace), o.Since, about)
	case len(o.ConflictingLabels) > 0:
		return newResult("labels", fail, "labels contradict each other or identify another workload: "+strings.Join(o.ConflictingLabels, ", "), o.Since, about)
	case len(o.MissingLabels) > 0:
		return newResult("labels", warn, "pods lack labels: "+strings.Join(o.MissingLabels, ", "), o.Since, about)
	}
	r := newResult("placement", pass, fmt.Sprintf("runs for platform namespace %q", o.PlatformNamespace), o.Since, about)
	r.Properties = map[string]string{"platformNamespace": o.PlatformNamespace}
	if o.Target != "" {
		r.Properties["target"] = o.Target
	}
	return r
}

func (w *Writer) deniedObject(d denials.Denial) resource {
	if d.Owner.Name != "" {
		return resource{w.o.APIVersion(d.Owner.Kind), d.Owner.Kind, d.Namespace, d.Owner.Name, d.Owner.UID}
	}
	return resource{w.o.APIVersion(d.Kind), d.Kind, d.Namespace, d.Name, ""}
}

func ofDenial(d denials.Denial, about resource) result {
	outcome, effect := fail, "denied"
	if d.Mode != enforce {
		outcome, effect = warn, fmt.Sprintf("allowed in mode %s, and otherwise denied", d.Mode)
	}
	r := newResult(d.Reason, outcome, fmt.Sprintf("%s of %s %s by %s %s: %s", d.Operation, d.Kind, d.Name, d.User, effect, d.Message), d.Last, about)
	r.Properties = map[string]string{"user": d.User, "mode": d.Mode, "count": strconv.Itoa(d.Count)}
	if d.Remedy != "" {
		r.Properties["remedy"] = d.Remedy
	}
	return r
}

func hashOf(results []result) (string, error) {
	text, err := json.Marshal(results)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), err
}

func newReport(f format, namespace, hash string, results []result) *unstructured.Unstructured {
	summary := map[string]any{pass: int64(0), warn: int64(0), fail: int64(0), "error": int64(0), "skip": int64(0)}
	var list []any
	for _, r := range results {
		summary[r.Result] = summary[r.Result].(int64) + 1
		list = append(list, toMap(r))
	}
	report := &unstructured.Unstructured{Object: map[string]any{
		"scope":   map[string]any{"apiVersion": "v1", "kind": "Namespace", "name": namespace},
		"summary": summary, "results": list,
	}}
	report.SetGroupVersionKind(f.GroupVersion().WithKind(f.kind))
	report.SetNamespace(namespace)
	report.SetName(Name)
	report.SetLabels(map[string]string{labelManagedBy: Name})
	report.SetAnnotations(map[string]string{annotationHash: hash})
	return report
}

// toMap returns a result as unstructured objects have it.
func toMap(r result) map[string]any {
	about := map[string]any{"kind": r.Resources[0].Kind, "namespace": r.Resources[0].Namespace, "name": r.Resources[0].Name}
	if v := r.Resources[0].APIVersion; v != "" {
		about["apiVersion"] = v
	}
	if uid := r.Resources[0].UID; uid != "" {
		about["uid"] = uid
	}
	m := map[string]any{
		"source": r.Source, "policy": r.Policy, "rule": r.Rule, "category": r.Category, "severity": r.Severity, "result": r.Result, "scored": r.Scored, "message": r.Message,
		"timestamp": map[string]any{"seconds": r.Timestamp.Seconds, "nanos": int64(r.Timestamp.Nanos)}, "resources": []any{about},
	}
	if len(r.Properties) > 0 {
		properties := map[string]any{}
		for key, value := range r.Properties {
			properties[key] = value
		}
		m["properties"] = properties
	}
	return m
}
