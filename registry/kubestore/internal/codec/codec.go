// Package codec turns objects of the registry into custom resources and back. It does no I/O.
package codec

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
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// lastApplied is kubectl's own note, and larger than most objects.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// isHidden reports whether REST does not show an annotation. Writes through REST
// leave it alone.
func isHidden(annotation string) bool {
	return strings.HasPrefix(annotation, "drey.dev/") || annotation == lastApplied
}

// Decode returns an object as REST shows it. Its id is the one that it asks
// for: whether it has that is for the mirror to say.
func (r *Resource) Decode(o Object) registry.Object {
	hidden := o.GetAnnotations()
	m := registry.Metadata{
		ID:          string(o.GetUID()),
		Name:        cmp.Or(r.name(o), o.GetName()),
		DisplayName: hidden[v1.AnnotationDisplayName],
		Namespace:   o.GetNamespace(),
		CreatedAt:   readTime(hidden[v1.AnnotationCreatedAt], o.GetCreationTimestamp().Time),
		Labels:      stringMap(hidden[v1.AnnotationLabels]),
		Annotations: stringMap(hidden[v1.AnnotationAnnotations]),
	}
	if id := hidden[v1.AnnotationID]; isID(id) {
		m.ID = id
	}
	maps.Copy(m.Labels, o.GetLabels())
	for k, v := range hidden {
		if !isHidden(k) {
			m.Annotations[k] = v
		}
	}
	kept := registry.Object{Kind: r.Kind, Metadata: m, Spec: r.readSpec(o, hidden[v1.AnnotationNumbers])}
	version, counted := versionOf(hidden[v1.AnnotationVersion], stateOf(kept))
	kept.Metadata.ResourceVersion = version
	kept.Metadata.ModifiedAt = modifiedAt(o, kept.Metadata.CreatedAt)
	if counted {
		kept.Metadata.ModifiedAt = readTime(hidden[v1.AnnotationModifiedAt], kept.Metadata.ModifiedAt)
	}
	return kept
}

func (r *Resource) readSpec(o Object, numbers string) json.RawMessage {
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

// Encode writes what a caller of REST decides into an object, and leaves
// the rest of it as it is. The object's version becomes o's.
func (r *Resource) Encode(o registry.Object, into Object) error {
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
		v1.AnnotationID:          m.ID,
		v1.AnnotationDisplayName: m.DisplayName,
		v1.AnnotationCreatedAt:   writeTime(m.CreatedAt),
		v1.AnnotationModifiedAt:  writeTime(m.ModifiedAt),
		v1.AnnotationNumbers:     text(numbers),
		v1.AnnotationLabels:      text(oddLabels),
		v1.AnnotationAnnotations: text(oddAnnotations),
	} {
		if value == "" {
			delete(annotations, key)
		} else {
			annotations[key] = value
		}
	}
	if m.ID == string(into.GetUID()) {
		delete(annotations, v1.AnnotationID)
	}
	into.SetLabels(labels)
	into.SetAnnotations(annotations)
	annotations[v1.AnnotationVersion] = count(m.ResourceVersion, stateOf(r.Decode(into)))
	into.SetAnnotations(annotations)
	return nil
}

// modifiedAt is the last time that somebody changed an object, but for its
// status, as the API server noted it.
func modifiedAt(o Object, created time.Time) time.Time {
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
