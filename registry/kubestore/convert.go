package kubestore

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/registry"
)

// The annotations by which an object carries what Kubernetes has no field for.
// REST does not show them. None is needed on an object that kubectl makes.
const (
	AnnotationID          = "drey.dev/id"           // the id, where it is not metadata.uid
	AnnotationDisplayName = "drey.dev/display-name" // free text
	AnnotationCreatedAt   = "drey.dev/created-at"   // RFC 3339, where it is not metadata.creationTimestamp
	AnnotationModifiedAt  = "drey.dev/modified-at"  // RFC 3339
	AnnotationVersion     = "drey.dev/version"      // the count and the digest that versionOf describes
	AnnotationNumbers     = "drey.dev/numbers"      // texts of numbers, by JSON pointer below spec
	AnnotationLabels      = "drey.dev/labels"       // labels that are none in Kubernetes, as a JSON object
	AnnotationAnnotations = "drey.dev/annotations"  // annotations that are none in Kubernetes, as a JSON object

	// lastApplied is kubectl's own note, and larger than most objects.
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
)

// isHidden reports whether REST does not show an annotation. Writes through REST
// leave it alone.
func isHidden(annotation string) bool {
	return strings.HasPrefix(annotation, "drey.dev/") || annotation == lastApplied
}

// toRegistry returns an object as REST shows it. Its id is the one that it asks
// for: whether it has that is for the mirror to say.
func (r *resource) toRegistry(o object) registry.Object {
	hidden := o.GetAnnotations()
	m := registry.Metadata{
		ID:          string(o.GetUID()),
		Name:        cmp.Or(r.name(o), o.GetName()),
		DisplayName: hidden[AnnotationDisplayName],
		Namespace:   o.GetNamespace(),
		CreatedAt:   readTime(hidden[AnnotationCreatedAt], o.GetCreationTimestamp().Time),
		Labels:      stringMap(hidden[AnnotationLabels]),
		Annotations: stringMap(hidden[AnnotationAnnotations]),
	}
	if id := hidden[AnnotationID]; isID(id) {
		m.ID = id
	}
	maps.Copy(m.Labels, o.GetLabels())
	for k, v := range hidden {
		if !isHidden(k) {
			m.Annotations[k] = v
		}
	}
	kept := registry.Object{Kind: r.kind, Metadata: m, Spec: r.readSpec(o, hidden[AnnotationNumbers])}
	version, counted := versionOf(hidden[AnnotationVersion], stateOf(kept))
	kept.Metadata.ResourceVersion = version
	kept.Metadata.ModifiedAt = modifiedAt(o, kept.Metadata.CreatedAt)
	if counted {
		kept.Metadata.ModifiedAt = readTime(hidden[AnnotationModifiedAt], kept.Metadata.ModifiedAt)
	}
	return kept
}

func (r *resource) readSpec(o object, numbers string) json.RawMessage {
	spec, err := r.spec(o)
	if err != nil {
		return json.RawMessage("{}") // the API server keeps nothing that is not JSON
	}
	restored, err := restore(spec, stringMap(numbers))
	if err != nil || bytes.Equal(restored, spec) {
		return spec // one text in memory, rather than two
	}
	return restored
}

// fromRegistry writes what a caller of REST decides into an object, and leaves
// the rest of it as it is. The object's version becomes o's.
func (r *resource) fromRegistry(o registry.Object, into object) error {
	spec, numbers, err := simplify(o.Spec)
	if err != nil {
		return invalid(o.Key(), err)
	}
	if err := r.setSpec(into, o.Metadata.Name, spec); err != nil {
		return invalid(o.Key(), err)
	}
	m := o.Metadata
	labels, oddLabels := map[string]string{}, map[string]string{}
	for k, v := range m.Labels {
		if len(validation.IsQualifiedName(k)) == 0 && len(validation.IsValidLabelValue(v)) == 0 {
			labels[k] = v
		} else {
			oddLabels[k] = v
		}
	}
	annotations, oddAnnotations := map[string]string{}, map[string]string{}
	for k, v := range into.GetAnnotations() {
		if isHidden(k) {
			annotations[k] = v
		}
	}
	for k, v := range m.Annotations {
		if len(validation.IsQualifiedName(strings.ToLower(k))) == 0 && !isHidden(k) {
			annotations[k] = v
		} else {
			oddAnnotations[k] = v
		}
	}
	for key, value := range map[string]string{
		AnnotationID:          m.ID,
		AnnotationDisplayName: m.DisplayName,
		AnnotationCreatedAt:   writeTime(m.CreatedAt),
		AnnotationModifiedAt:  writeTime(m.ModifiedAt),
		AnnotationNumbers:     text(numbers),
		AnnotationLabels:      text(oddLabels),
		AnnotationAnnotations: text(oddAnnotations),
	} {
		if value == "" {
			delete(annotations, key)
		} else {
			annotations[key] = value
		}
	}
	if m.ID == string(into.GetUID()) {
		delete(annotations, AnnotationID)
	}
	into.SetLabels(labels)
	into.SetAnnotations(annotations)
	annotations[AnnotationVersion] = count(m.ResourceVersion, stateOf(r.toRegistry(into)))
	into.SetAnnotations(annotations)
	return nil
}

// modifiedAt is the last time that somebody changed an object, but for its
// status, as the API server noted it.
func modifiedAt(o object, created time.Time) time.Time {
	last := created
	for _, f := range o.GetManagedFields() {
		if f.Subresource == "" && f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last.UTC()
}

// stringMap reads an annotation that text wrote. What cannot be read is empty:
// anybody may write there.
func stringMap(annotation string) map[string]string {
	m := map[string]string{}
	if annotation != "" && json.Unmarshal([]byte(annotation), &m) != nil || m == nil {
		return map[string]string{}
	}
	return m
}

func text(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	b, _ := json.Marshal(m) // strings only: it cannot fail
	return string(b)
}

func readTime(annotation string, otherwise time.Time) time.Time {
	if t, err := time.Parse(time.RFC3339, annotation); err == nil {
		return t.UTC()
	}
	return otherwise.UTC()
}

func writeTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// isID is the form of the REST API's ids.
func isID(s string) bool {
	return len(s) == 36 && s == strings.ToLower(s) && uuid.Validate(s) == nil
}

func invalid(key registry.Key, err error) error {
	return &registry.Error{
		Reason:  registry.ReasonInvalidSpec,
		Message: fmt.Sprintf("the spec of %s %q cannot be kept: %v", key.Kind, key.Name, err),
	}
}
