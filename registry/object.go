package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// DefaultNamespace is the platform namespace that always exists.
const DefaultNamespace = "default"

// Key identifies an object.
type Key struct {
	Kind      Kind
	Namespace string // the platform namespace
	Name      string
}

// Object is an object of the registry. The kind defines the rules of its spec.
type Object struct {
	Kind     Kind            `json:"kind"`
	Metadata Metadata        `json:"metadata"`
	Spec     json.RawMessage `json:"spec"` // one compact JSON object
}

// Metadata is the metadata of an object. The server sets ID, the times and ResourceVersion.
type Metadata struct {
	ID              string            `json:"id"`                    // a UUID
	Name            string            `json:"name,omitempty"`        // empty for a Job
	DisplayName     string            `json:"displayName,omitempty"` // free text; empty for a target
	Namespace       string            `json:"namespace"`
	CreatedAt       time.Time         `json:"createdAt"`  // UTC, to the millisecond
	ModifiedAt      time.Time         `json:"modifiedAt"` // UTC, to the millisecond
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	ResourceVersion int32             `json:"resourceVersion"` // 1 on a new object; changes with each write
}

// Key returns the key of o.
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

// Kind is the kind of an object, as in the REST API.
type Kind string

// The kinds of stored objects.
const (
	// DeploymentTarget admits Flink to a Kubernetes namespace.
	DeploymentTarget Kind = "DeploymentTarget"
	// Deployment is a Flink application. Drey reads the references in its spec.
	Deployment Kind = "Deployment"
	// SessionCluster is a Flink session cluster. Drey reads the references in its spec.
	SessionCluster Kind = "SessionCluster"
	// Namespace is a platform namespace. Its spec has its role bindings.
	Namespace Kind = "Namespace"
	// APIToken grants access to a platform namespace, or to all with [Everywhere]. Package
	// access defines its spec.
	APIToken Kind = "ApiToken"
	// DeploymentDefaults are the defaults of new Deployments, one object per platform namespace
	// with the name [DefaultsName]. Drey applies the reference to a target.
	DeploymentDefaults Kind = "DeploymentDefaults"
)

// Everywhere is the namespace of an APIToken for all platform namespaces.
const Everywhere = "*"

// rules are the rules of a kind.
type rules struct {
	// name validates a name, and derives it from free text.
	name func(kind Kind, name string) (stored, freeText string, err error)
	// spec validates a spec and normalizes it.
	spec func(kind Kind, raw json.RawMessage) (json.RawMessage, error)
	// refersTo returns the references in a spec.
	refersTo func(spec json.RawMessage) ([]ref, error)

	immutableSpec bool
	byID          bool // clients may address objects by id
	everywhere    bool // objects may be in [Everywhere]
}

var kinds = map[Kind]rules{
	DeploymentTarget: {name: targetName, spec: targetSpec, refersTo: refersToNothing, immutableSpec: true},
	Deployment:       {name: freeName, spec: anySpec, refersTo: refersByName, byID: true},
	SessionCluster:   {name: freeName, spec: anySpec, refersTo: refersByName, byID: true},
	APIToken:         {name: targetName, spec: anySpec, refersTo: refersToNothing, immutableSpec: true, everywhere: true},

	DeploymentDefaults: {name: defaultsName, spec: anySpec, refersTo: refersByName},
}

// targetSpec validates the spec of a target, and returns its canonical form.
func targetSpec(_ Kind, raw json.RawMessage) (json.RawMessage, error) {
	spec, err := parseTargetSpec(raw)
	if err != nil {
		return nil, err
	}
	return json.Marshal(spec)
}

// anySpec accepts any JSON object, and returns it without white space.
func anySpec(kind Kind, raw json.RawMessage) (json.RawMessage, error) {
	v := jsontext.Value(raw).Clone()
	if len(v) == 0 || v.Kind() == 'n' {
		return nil, refuse(ReasonInvalidSpec, "spec is missing: a %s needs one, {} at least", kind)
	}
	if v.Kind() != '{' {
		return nil, refuse(ReasonInvalidSpec, "spec is not an object")
	}
	if err := v.Compact(jsontext.PreserveRawStrings(true)); err != nil {
		return nil, refuse(ReasonInvalidSpec, "spec is not valid JSON: %v", err)
	}
	return json.RawMessage(v), nil
}

// sameSpec reports whether two specs are equal, in any order of keys. Numbers are compared by
// their text.
func sameSpec(a, b json.RawMessage) bool {
	ordered := func(raw json.RawMessage) string {
		v := jsontext.Value(raw).Clone()
		if err := v.Format(jsontext.ReorderRawObjects(true), jsontext.AllowDuplicateNames(true)); err != nil {
			return string(raw)
		}
		return string(v)
	}
	return string(a) == string(b) || ordered(a) == ordered(b)
}

// ref is a reference in a spec, by name or by id.
type ref struct {
	kind     Kind
	field    string // its path, for messages
	name, id string
}

func (r ref) String() string {
	if r.id != "" {
		return fmt.Sprintf("%s with id %s", r.kind, quote(r.id))
	}
	return fmt.Sprintf("%s %s", r.kind, quote(r.name))
}

func refersToNothing(json.RawMessage) ([]ref, error) { return nil, nil }

// refersByName returns the references of a Deployment or SessionCluster of Ververica Platform: to a
// target by its name or, from older clients, its id; to a session cluster by its name.
func refersByName(spec json.RawMessage) ([]ref, error) {
	var s struct {
		TargetName     string `json:"deploymentTargetName"`
		TargetID       string `json:"deploymentTargetId"`
		SessionCluster string `json:"sessionClusterName"`
	}
	if err := jsonv2.Unmarshal(spec, &s); err != nil {
		return nil, refuse(ReasonInvalidSpec, "%s", describeSpecError(err))
	}
	var refs []ref
	if s.TargetName != "" {
		refs = append(refs, ref{kind: DeploymentTarget, field: "spec.deploymentTargetName", name: s.TargetName})
	}
	if s.TargetID != "" {
		refs = append(refs, ref{kind: DeploymentTarget, field: "spec.deploymentTargetId", id: s.TargetID})
	}
	if s.SessionCluster != "" {
		refs = append(refs, ref{kind: SessionCluster, field: "spec.sessionClusterName", name: s.SessionCluster})
	}
	return refs, nil
}

// isTo reports whether a reference in the same platform namespace is to an object, which its name
// may address by id or free text too.
func (r ref) isTo(o Object) bool {
	switch {
	case r.kind != o.Kind:
		return false
	case r.id != "":
		return r.id == o.Metadata.ID
	}
	return hasAddress(o, r.name)
}

// TargetSpec is the spec of a [DeploymentTarget].
type TargetSpec struct {
	Kubernetes *TargetKubernetes `json:"kubernetes"`
}

// TargetKubernetes is the place in the cluster that a target points at.
type TargetKubernetes struct {
	// Namespace is the Kubernetes namespace; "": the one that drey runs in.
	Namespace string `json:"namespace,omitempty"`
}

// Target is a [DeploymentTarget] as admission uses it.
type Target struct {
	PlatformNamespace string
	Name              string

	id idKey
}

// String returns PLATFORM-NAMESPACE/NAME.
func (t Target) String() string { return t.PlatformNamespace + "/" + t.Name }

// parseTargetSpec parses the spec of a target. Unknown fields are errors: a misspelled namespace
// would mean the one that drey runs in.
func parseTargetSpec(raw json.RawMessage) (TargetSpec, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err == nil {
		if _, ok := members["deploymentPatchSet"]; ok {
			return TargetSpec{}, refuse(ReasonInvalidSpec,
				"spec.deploymentPatchSet is not supported since Ververica Platform 2.0: remove it, and set the values in the Deployments")
		}
	}
	var spec TargetSpec
	if len(raw) == 0 || string(raw) == "null" {
		return spec, refuse(ReasonInvalidSpec, `spec is missing: a DeploymentTarget needs "spec": {"kubernetes": {"namespace": "NAME"}}`)
	}
	if err := jsonv2.Unmarshal(raw, &spec, jsonv2.RejectUnknownMembers(true)); err != nil {
		return spec, refuse(ReasonInvalidSpec, "%s", describeSpecError(err))
	}
	if spec.Kubernetes == nil {
		return spec, refuse(ReasonInvalidSpec, `spec.kubernetes is missing: a DeploymentTarget needs "spec": {"kubernetes": {"namespace": "NAME"}}`)
	}
	if ns := spec.Kubernetes.Namespace; ns != "" && !checkNamespaceName(ns) {
		return spec, refuse(ReasonInvalidSpec,
			"spec.kubernetes.namespace: %s is not a valid name of a Kubernetes namespace: use 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end", quote(ns))
	}
	return spec, nil
}

// describeSpecError formats a decoding error with the dotted path of the field.
func describeSpecError(err error) string {
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		path := "spec" + strings.ReplaceAll(string(e.JSONPointer), "/", ".")
		if errors.Is(err, jsonv2.ErrUnknownName) {
			return fmt.Sprintf("%s is not a field of a DeploymentTarget: its only field is kubernetes.namespace", path)
		}
		want := "an object"
		if e.GoType != nil && e.GoType.Kind().String() == "string" {
			want = "a string"
		}
		return fmt.Sprintf("%s is not %s", path, want)
	}
	return fmt.Sprintf("spec is not valid JSON: %v", err)
}

// quote quotes untrusted text, truncated to 80 bytes.
func quote(name string) string {
	const most = 80
	if len(name) > most {
		return strconv.Quote(name[:most]) + "..."
	}
	return strconv.Quote(name)
}

// TargetNamespace returns the Kubernetes namespace that a target points at. ownNamespace is the one
// that drey runs in.
func TargetNamespace(target Object, ownNamespace string) string {
	return targetNamespace(target, ownNamespace)
}

// targetNamespace returns the Kubernetes namespace that a stored target points at: "" for an invalid
// spec, which the rules do not accept.
func targetNamespace(o Object, ownNamespace string) string {
	var spec TargetSpec
	if err := jsonv2.Unmarshal(o.Spec, &spec); err != nil || spec.Kubernetes == nil {
		return ""
	}
	return cmp.Or(spec.Kubernetes.Namespace, ownNamespace)
}
