package registry

import (
	"encoding/json"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

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
