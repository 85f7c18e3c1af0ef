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

// Kind names what an object is, as the REST API writes it in its kind field.
type Kind string

// The kinds that the registry keeps.
const (
	// DeploymentTarget is a name in a platform namespace that stands for a
	// Kubernetes namespace in which Flink may run.
	DeploymentTarget Kind = "DeploymentTarget"
	// Deployment is a Flink application that clients describe; drey reads of
	// its spec to what it refers, and keeps the rest.
	Deployment Kind = "Deployment"
	// SessionCluster is likewise a Flink cluster that takes many jobs.
	SessionCluster Kind = "SessionCluster"
	// Namespace is a platform namespace. It has a name, and nothing else.
	Namespace Kind = "Namespace"
	// APIToken lets its holder into a platform namespace, or with [Everywhere]
	// into all. Its spec is for those to read who let people in.
	APIToken Kind = "ApiToken"
)

// Everywhere stands for all platform namespaces where an APIToken may.
const Everywhere = "*"

// rules are what the registry checks of a kind.
type rules struct {
	// name brings a name that a client chose into the form in which it is
	// kept, and what it was as free text, if it was.
	name func(kind Kind, name string) (kept, free string, err error)
	// spec reads a spec, and returns it as it is kept.
	spec func(kind Kind, raw json.RawMessage) (json.RawMessage, error)
	// refersTo lists what an object of the kind stands on.
	refersTo func(spec json.RawMessage) ([]ref, error)

	immutableSpec bool
	byID          bool // may be addressed by its id, too
	everywhere    bool // may be in [Everywhere]
}

var kinds = map[Kind]rules{
	DeploymentTarget: {name: targetName, spec: targetSpec, refersTo: refersToNothing, immutableSpec: true},
	Deployment:       {name: freeName, spec: keptSpec, refersTo: refersByName, byID: true},
	SessionCluster:   {name: freeName, spec: keptSpec, refersTo: refersByName, byID: true},
	APIToken:         {name: targetName, spec: keptSpec, refersTo: refersToNothing, immutableSpec: true, everywhere: true},
}

// targetSpec writes a target's spec out in one form, so that two that say the
// same are the same.
func targetSpec(_ Kind, raw json.RawMessage) (json.RawMessage, error) {
	spec, err := parseTargetSpec(raw)
	if err != nil {
		return nil, err
	}
	return json.Marshal(spec)
}

// keptSpec takes any object, whole: it belongs to the client, and has fields
// that nobody here has heard of.
func keptSpec(kind Kind, raw json.RawMessage) (json.RawMessage, error) {
	v := jsontext.Value(raw).Clone()
	if len(v) == 0 || v.Kind() == 'n' {
		return nil, refuse(ReasonInvalidSpec, "spec is missing: a %s needs one, if only {}", kind)
	}
	if v.Kind() != '{' {
		return nil, refuse(ReasonInvalidSpec, "spec is not an object")
	}
	if err := v.Compact(jsontext.PreserveRawStrings(true)); err != nil {
		return nil, refuse(ReasonInvalidSpec, "spec is not readable: %v", err)
	}
	return json.RawMessage(v), nil
}

// sameSpec reports whether two specs say the same, whatever the order of their
// keys. Numbers are compared as they are written: none is rounded.
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

// ref is what one object says of another that it stands on: a kind, and a name
// or an id.
type ref struct {
	kind     Kind
	field    string // where it says so
	name, id string
}

func (r ref) String() string {
	if r.id != "" {
		return fmt.Sprintf("%s with id %s", r.kind, quote(r.id))
	}
	return fmt.Sprintf("%s %s", r.kind, quote(r.name))
}

func refersToNothing(json.RawMessage) ([]ref, error) { return nil, nil }

// refersByName reads the fields by which Ververica Platform's Deployments and
// SessionClusters refer to others: a target by its name or, in older clients,
// its id; a Deployment in session mode to its cluster.
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

// isTo tells whether a reference from the same platform namespace is to an object. Its
// id or free text may stand where a name is meant.
func (r ref) isTo(o Object) bool {
	switch {
	case r.kind != o.Kind:
		return false
	case r.id != "":
		return r.id == o.Metadata.ID
	}
	return answersTo(o, r.name)
}

// TargetSpec is the spec of a [DeploymentTarget].
type TargetSpec struct {
	Kubernetes *TargetKubernetes `json:"kubernetes"`
}

// TargetKubernetes says where in the cluster a target points.
type TargetKubernetes struct {
	// Namespace is the Kubernetes namespace. Empty means the one that drey
	// itself runs in.
	Namespace string `json:"namespace,omitempty"`
}

// Target is a [DeploymentTarget] as admission sees it.
type Target struct {
	PlatformNamespace string
	Name              string
	ID                string
}

// String is how messages name a target.
func (t Target) String() string { return t.PlatformNamespace + "/" + t.Name }

// parseTargetSpec reads the spec of a target. A field it does not know is an
// error: a misspelled namespace would silently mean drey's own.
func parseTargetSpec(raw json.RawMessage) (TargetSpec, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err == nil {
		if _, ok := members["deploymentPatchSet"]; ok {
			return TargetSpec{}, refuse(ReasonInvalidSpec,
				"spec.deploymentPatchSet existed in Ververica Platform 2.0 only: remove it, and set the values in the Deployments or in the platform's defaults")
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
			"spec.kubernetes.namespace: %s is not the name of a Kubernetes namespace: use 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end", quote(ns))
	}
	return spec, nil
}

// describeSpecError says where below spec the decoder stopped, in the dotted
// form that the rest of the API's messages use.
func describeSpecError(err error) string {
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		path := "spec" + strings.ReplaceAll(string(e.JSONPointer), "/", ".")
		if errors.Is(err, jsonv2.ErrUnknownName) {
			return fmt.Sprintf("%s is not a field of a DeploymentTarget: its spec has kubernetes.namespace and nothing else", path)
		}
		want := "an object"
		if e.GoType != nil && e.GoType.Kind().String() == "string" {
			want = "a string"
		}
		return fmt.Sprintf("%s is not %s", path, want)
	}
	return fmt.Sprintf("spec is not readable: %v", err)
}

// quote prints a name that may be anything, cut short.
func quote(name string) string {
	const most = 80
	if len(name) > most {
		return strconv.Quote(name[:most]) + "..."
	}
	return strconv.Quote(name)
}

// TargetNamespace is the Kubernetes namespace that a target points at; home is the
// one that drey runs in.
func TargetNamespace(target Object, home string) string { return targetNamespace(target, home) }

// targetNamespace is the Kubernetes namespace that a kept target points at.
// Rules have read the spec before it was kept; what cannot be read points
// nowhere a workload can be.
func targetNamespace(o Object, home string) string {
	var spec TargetSpec
	if err := jsonv2.Unmarshal(o.Spec, &spec); err != nil || spec.Kubernetes == nil {
		return ""
	}
	return cmp.Or(spec.Kubernetes.Namespace, home)
}
