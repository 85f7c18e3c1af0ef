// Package codec converts between objects of the registry and custom resources. It does no I/O.
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

// lastApplied is the annotation of kubectl apply, a copy of the object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// isHidden reports whether REST hides an annotation. Writes through REST preserve it.
func isHidden(annotation string) bool {
	return strings.HasPrefix(annotation, "drey.dev/") || annotation == lastApplied
}

// Decode returns a custom resource as an object of the registry, with the id that it
// requests. Another object may own that id.
func (r *Resource) Decode(o Object) registry.Object {
	hidden := o.GetAnnotations()
	m := registry.Metadata{
		ID:          string(o.GetUID()),
		Name:        cmp.Or(r.name(o), o.GetName()),
		DisplayName: hidden[v1.AnnotationDisplayName],
		Namespace:   o.GetNamespace(),
		CreatedAt:   parseTime(hidden[v1.AnnotationCreatedAt], o.GetCreationTimestamp().Time),
		Labels:      unmarshalMap(hidden[v1.AnnotationLabels]),
		Annotations: unmarshalMap(hidden[v1.AnnotationAnnotations]),
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
	decoded := registry.Object{Kind: r.Kind, Metadata: m, Spec: r.readSpec(o, hidden[v1.AnnotationNumbers])}
	version, valid := parseVersion(hidden[v1.AnnotationVersion], digestOf(decoded))
	decoded.Metadata.ResourceVersion = version
	decoded.Metadata.ModifiedAt = modifiedAt(o, decoded.Metadata.CreatedAt)
	if valid {
		decoded.Metadata.ModifiedAt = parseTime(hidden[v1.AnnotationModifiedAt], decoded.Metadata.ModifiedAt)
	}
	return decoded
}

func (r *Resource) readSpec(o Object, numbers string) json.RawMessage {
	spec, err := r.spec(o)
	if err != nil {
		return json.RawMessage("{}") // cannot happen: the API server stores only JSON
	}
	restored, err := restoreNumbers(spec, unmarshalMap(numbers))
	if err != nil || bytes.Equal(restored, spec) {
		return spec // shares memory with the cached object
	}
	return restored
}

// Encode writes an object of the registry into a custom resource, with its version, and
// preserves what REST does not show.
func (r *Resource) Encode(o registry.Object, into Object) error {
	spec, numbers, err := canonicalizeNumbers(o.Spec)
	if err != nil {
		return invalid(o.Key(), err)
	}
	if err := r.setSpec(into, o.Metadata.Name, spec); err != nil {
		return invalid(o.Key(), err)
	}
	m := o.Metadata
	labels, otherLabels := map[string]string{}, map[string]string{}
	for k, v := range m.Labels {
		if len(validation.IsQualifiedName(k)) == 0 && len(validation.IsValidLabelValue(v)) == 0 {
			labels[k] = v
		} else {
			otherLabels[k] = v
		}
	}
	annotations, otherAnnotations := map[string]string{}, map[string]string{}
	for k, v := range into.GetAnnotations() {
		if isHidden(k) {
			annotations[k] = v
		}
	}
	for k, v := range m.Annotations {
		if len(validation.IsQualifiedName(strings.ToLower(k))) == 0 && !isHidden(k) {
			annotations[k] = v
		} else {
			otherAnnotations[k] = v
		}
	}
	for key, value := range map[string]string{
		v1.AnnotationID:          m.ID,
		v1.AnnotationDisplayName: m.DisplayName,
		v1.AnnotationCreatedAt:   formatTime(m.CreatedAt),
		v1.AnnotationModifiedAt:  formatTime(m.ModifiedAt),
		v1.AnnotationNumbers:     marshalMap(numbers),
		v1.AnnotationLabels:      marshalMap(otherLabels),
		v1.AnnotationAnnotations: marshalMap(otherAnnotations),
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
	annotations[v1.AnnotationVersion] = formatVersion(m.ResourceVersion, digestOf(r.Decode(into)))
	into.SetAnnotations(annotations)
	return nil
}

// modifiedAt returns the time of the last change other than a status, from managedFields.
func modifiedAt(o Object, created time.Time) time.Time {
	last := created
	for _, f := range o.GetManagedFields() {
		if f.Subresource == "" && f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last.UTC()
}

// unmarshalMap parses an annotation that marshalMap formatted. Invalid text, which any user may
// write, yields an empty map.
func unmarshalMap(annotation string) map[string]string {
	m := map[string]string{}
	if annotation != "" && json.Unmarshal([]byte(annotation), &m) != nil || m == nil {
		return map[string]string{}
	}
	return m
}

func marshalMap(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	b, _ := json.Marshal(m) // a map of strings marshals
	return string(b)
}

func parseTime(annotation string, fallback time.Time) time.Time {
	if t, err := time.Parse(time.RFC3339, annotation); err == nil {
		return t.UTC()
	}
	return fallback.UTC()
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// isID reports whether s is an id of the REST API: a UUID in lower case.
func isID(s string) bool {
	return len(s) == 36 && s == strings.ToLower(s) && uuid.Validate(s) == nil
}

func invalid(key registry.Key, err error) error {
	return &registry.Error{
		Reason:  registry.ReasonInvalidSpec,
		Message: fmt.Sprintf("cannot store the spec of %s %q: %v", key.Kind, key.Name, err),
	}
}
