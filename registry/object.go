package registry

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// DefaultNamespace is the platform namespace that always exists.
const DefaultNamespace = "default"

// Key addresses one object.
type Key struct {
	Kind      Kind
	Namespace string // the platform namespace
	Name      string
}

// Object is anything that the registry keeps. The zero Spec is not valid in a
// stored object: rules for it are those of its kind.
type Object struct {
	Kind     Kind            `json:"kind"`
	Metadata Metadata        `json:"metadata"`
	Spec     json.RawMessage `json:"spec"` // one compact JSON object
}

// Metadata is what every object has. The server owns ID, the times and
// ResourceVersion.
type Metadata struct {
	ID              string            `json:"id"`                    // a UUID
	Name            string            `json:"name,omitempty"`        // empty of a Job alone
	DisplayName     string            `json:"displayName,omitempty"` // free text; not of a target
	Namespace       string            `json:"namespace"`
	CreatedAt       time.Time         `json:"createdAt"`  // UTC, to the millisecond
	ModifiedAt      time.Time         `json:"modifiedAt"` // UTC, to the millisecond
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	ResourceVersion int32             `json:"resourceVersion"` // 1 on a new object, more on each change
}

// Key is the address of o.
func (o Object) Key() Key {
	return Key{Kind: o.Kind, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name}
}

// Clone returns a copy that shares no memory with o.
func (o Object) Clone() Object {
	o.Metadata.Labels = maps.Clone(o.Metadata.Labels)
	o.Metadata.Annotations = maps.Clone(o.Metadata.Annotations)
	o.Spec = slices.Clone(o.Spec)
	return o
}
