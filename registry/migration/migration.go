// Package migration copies a registry from one store to another. It preserves ids, names, labels,
// annotations, specs and creation times; versions start at 1.
//
// It creates missing objects and changes no existing ones, so it can be interrupted and repeated.
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

// State is the state of an object in the destination.
type State int

// The states.
const (
	Missing State = iota // to be copied
	There                // equal
	Differs              // another object has the key
	Left                 // the destination does not support the kind
)

// Step is an object of the source and its state in the destination.
type Step struct {
	Object registry.Object
	State  State
	Why    string // the difference
}

// order is the order of creation: referenced kinds first.
var order = []registry.Kind{registry.Namespace, registry.DeploymentTarget, registry.SessionCluster, registry.Deployment, registry.DeploymentDefaults, registry.APIToken}

// isKept reports whether a store keeps objects of a kind.
func isKept(kind registry.Kind, store registry.Store) bool {
	return kind != registry.APIToken || store.Capabilities().APITokens
}

// Plan compares two stores, and returns a step for each object of the source.
func Plan(ctx context.Context, from, to registry.Store) ([]Step, error) {
	keeps := func(kind registry.Kind) bool { return isKept(kind, to) }
	var steps []Step
	for _, kind := range order {
		if !isKept(kind, from) {
			continue
		}
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
			case ok && kind == registry.Namespace: // has an id per store
				step.State = There
				if !sameJSON(o.Spec, there[o.Key()].Spec) {
					step.State, step.Why = Differs, fmt.Sprintf("its spec is %.200s, and there %.200s", o.Spec, there[o.Key()].Spec)
				}
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

// difference describes the first difference of two objects with the same key; "" if they are equal.
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

// sameJSON compares JSON values; numbers by their digits.
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

// Copy creates the missing objects, and calls done after each. It continues after refusals, except
// in a refused platform namespace, and returns them joined. Any other error ends it.
func Copy(ctx context.Context, steps []Step, to registry.Store, done func(Step)) error {
	var refused []error
	failed := map[string]bool{} // platform namespaces
	for _, step := range steps {
		if step.State != Missing || failed[step.Object.Metadata.Namespace] {
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
				failed[step.Object.Metadata.Name] = true
			}
		default:
			return errors.Join(append(refused, fmt.Errorf("%s: %w", Name(step.Object), err))...)
		}
	}
	return errors.Join(refused...)
}

// Name returns how messages refer to an object.
func Name(o registry.Object) string {
	if o.Kind == registry.Namespace {
		return fmt.Sprintf("platform namespace %q", o.Metadata.Name)
	}
	return fmt.Sprintf("%s %q in platform namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
}
