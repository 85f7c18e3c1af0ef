// Package migration copies a registry from one store into another, whole: ids, names,
// labels, annotations, specs and the times of creation stay; versions begin anew.
//
// It adds what is missing and changes nothing that is there, so that it may be broken
// off at any moment and run again.
package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"drey.dev/drey/registry"
)

// State says what is to be done about an object.
type State int

// The states.
const (
	Missing State = iota // in the other store: it is to be copied
	There                // already
	Differs              // the other store has another one in its place
	Left                 // the other store does not keep objects of this kind
)

// Step is one object of the source.
type Step struct {
	Object registry.Object
	State  State
	Why    string // what differs
}

// order is that in which objects may be made: what is referred to comes first.
var order = []registry.Kind{registry.Namespace, registry.DeploymentTarget, registry.SessionCluster, registry.Deployment, registry.APIToken}

// Plan compares two stores, and says of each object of the one what is to be done
// about it in the other.
func Plan(ctx context.Context, from, to registry.Store) ([]Step, error) {
	keeps := func(kind registry.Kind) bool { return kind != registry.APIToken || to.Capabilities().APITokens }
	var steps []Step
	for _, kind := range order {
		objects, err := from.List(ctx, kind, "", registry.Consistent)
		if err != nil {
			return nil, fmt.Errorf("read the %ss: %w", kind, err)
		}
		there := map[registry.Key]registry.Object{}
		if keeps(kind) && len(objects) > 0 {
			others, err := to.List(ctx, kind, "", registry.Consistent)
			if err != nil {
				return nil, fmt.Errorf("read the %ss that are there already: %w", kind, err)
			}
			for _, o := range others {
				there[o.Key()] = o
			}
		}
		for _, o := range objects {
			step := Step{Object: o}
			switch other, ok := there[o.Key()]; {
			case !keeps(kind):
				step.State = Left
			case ok && kind == registry.Namespace: // there is nothing about it but its name
				step.State = There
			case ok:
				step.State = There
				if step.Why = difference(o, other); step.Why != "" {
					step.State = Differs
				}
			}
			steps = append(steps, step)
		}
	}
	return steps, nil
}

// difference names the first thing in which two objects of one name differ.
func difference(a, b registry.Object) string {
	switch {
	case a.Metadata.ID != b.Metadata.ID:
		return fmt.Sprintf("its id is %s, and there %s", a.Metadata.ID, b.Metadata.ID)
	case !sameJSON(a.Spec, b.Spec):
		return fmt.Sprintf("its spec is %.200s, and there %.200s", a.Spec, b.Spec)
	case a.Metadata.DisplayName != b.Metadata.DisplayName:
		return fmt.Sprintf("its displayName is %q, and there %q", a.Metadata.DisplayName, b.Metadata.DisplayName)
	case !maps.Equal(a.Metadata.Labels, b.Metadata.Labels):
		return "its labels"
	case !maps.Equal(a.Metadata.Annotations, b.Metadata.Annotations):
		return "its annotations"
	}
	return ""
}

// sameJSON compares values; numbers by their digits.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	read := func(text json.RawMessage) (v any, err error) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		return v, d.Decode(&v)
	}
	one, errOne := read(a)
	other, errOther := read(b)
	return errOne == nil && errOther == nil && reflect.DeepEqual(one, other)
}

// Copy makes what is missing, and calls done after each. What the other store refuses
// for good does not keep it from the rest, but for what is in a platform namespace that
// is refused: the error has all of that. Any other failure ends it.
func Copy(ctx context.Context, steps []Step, to registry.Store, done func(Step)) error {
	var refused []error
	closed := map[string]bool{} // platform namespaces that could not be made
	for _, step := range steps {
		if step.State != Missing || closed[step.Object.Metadata.Namespace] {
			continue
		}
		_, err := to.Create(ctx, step.Object)
		reason := registry.ReasonOf(err)
		switch {
		case err == nil:
			done(step)
		case errors.Is(err, registry.ErrExists), reason != "" && reason != registry.ReasonClusterUnavailable:
			refused = append(refused, fmt.Errorf("%s: %w", Name(step.Object), err))
			if step.Object.Kind == registry.Namespace {
				closed[step.Object.Metadata.Name] = true
			}
		default:
			return errors.Join(append(refused, fmt.Errorf("%s: %w", Name(step.Object), err))...)
		}
	}
	return errors.Join(refused...)
}

// Name is how an object is called in messages.
func Name(o registry.Object) string {
	if o.Kind == registry.Namespace {
		return fmt.Sprintf("platform namespace %q", o.Metadata.Name)
	}
	return fmt.Sprintf("%s %q in platform namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
}
