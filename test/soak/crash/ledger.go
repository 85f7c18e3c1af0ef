package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"drey.dev/drey/registry"
)

// ledger has the acknowledged state of the objects of one writer, their only one.
type ledger struct {
	objects map[registry.Key]registry.Object // as acknowledged
	deleted map[registry.Key]bool            // by an acknowledged deletion
	pending *attempt                         // the last write, if its response is missing
}

// attempt is a write: the object before and after it; nil is no object. Fields of after that
// the server sets are empty.
type attempt struct {
	key           registry.Key
	before, after *registry.Object
	acknowledged  bool // the response has begun, and is incomplete
}

func newLedger() ledger {
	return ledger{objects: map[registry.Key]registry.Object{}, deleted: map[registry.Key]bool{}}
}

// record records the acknowledged state of an object; nil: it is deleted.
func (l *ledger) record(key registry.Key, o *registry.Object) {
	if o == nil {
		delete(l.objects, key)
		l.deleted[key] = true
		return
	}
	l.objects[key] = *o
	delete(l.deleted, key)
}

// compare lists the violations: the differences between found and the acknowledged state.
// The found state of the pending write becomes its acknowledged one.
func (l *ledger) compare(found map[registry.Key]registry.Object) (violations []string) {
	complain := func(key registry.Key, format string, args ...any) {
		const most = 400 // bytes of an object in a message
		for i, arg := range args {
			if s, ok := arg.(string); ok && len(s) > most {
				args[i] = fmt.Sprintf("%s... (%d bytes)", s[:most], len(s))
			}
		}
		violations = append(violations, fmt.Sprintf("%s %s/%s ", key.Kind, key.Namespace, key.Name)+fmt.Sprintf(format, args...))
	}
	isPending := func(key registry.Key) bool { return l.pending != nil && l.pending.key == key }
	for key, want := range l.objects {
		got, there := found[key]
		switch {
		case isPending(key):
		case !there:
			complain(key, "is lost: got none, want %s as acknowledged", text(want))
		case text(got) != text(want):
			complain(key, "differs from its acknowledged state: got\n  %s\nwant\n  %s", text(got), text(want))
		}
	}
	for key, got := range found {
		if _, known := l.objects[key]; known || isPending(key) {
			continue
		}
		if l.deleted[key] {
			complain(key, "exists after its deletion was acknowledged: got %s", text(got))
		} else {
			complain(key, "was never created: got %s", text(got))
		}
	}
	for key, o := range found {
		if target := targetOf(o); target != "" {
			if _, there := found[registry.Key{Kind: registry.DeploymentTarget, Namespace: key.Namespace, Name: target}]; !there {
				complain(key, "refers to DeploymentTarget %s, which does not exist", target)
			}
		}
	}
	if d := l.pending; d != nil {
		switch applied, unchanged := d.isApplied(found), d.isUnchanged(found); {
		case d.acknowledged && !applied:
			complain(d.key, "differs from its acknowledged state: got %s, want %s", d.found(found), describe(d.after))
		case !applied && !unchanged:
			complain(d.key, "is half-written: got\n  %s\nwant\n  %s\nor\n  %s", d.found(found), describe(d.before), describe(d.after))
		}
		var settled *registry.Object
		if o, there := found[d.key]; there {
			settled = &o
		}
		l.record(d.key, settled)
		l.pending = nil
	}
	slices.Sort(violations)
	return violations
}

// isApplied reports whether the object is as after the write.
func (a *attempt) isApplied(found map[registry.Key]registry.Object) bool {
	got, there := found[a.key]
	if !there || a.after == nil {
		return !there && a.after == nil
	}
	return a.matches(got)
}

// matches reports whether an object is the result of the write, with any values of the
// fields that the server sets.
func (a *attempt) matches(got registry.Object) bool {
	want := a.after.Clone()
	if want.Metadata.ID == "" {
		want.Metadata.ID, want.Metadata.CreatedAt = got.Metadata.ID, got.Metadata.ModifiedAt
	}
	want.Metadata.ModifiedAt = got.Metadata.ModifiedAt
	return text(got) == text(want) && got.Metadata.ID != "" && !got.Metadata.ModifiedAt.Before(want.Metadata.CreatedAt)
}

// isUnchanged reports whether the object is as before the write.
func (a *attempt) isUnchanged(found map[registry.Key]registry.Object) bool {
	return a.found(found) == describe(a.before)
}

func (a *attempt) found(found map[registry.Key]registry.Object) string {
	if o, there := found[a.key]; there {
		return describe(&o)
	}
	return describe(nil)
}

func describe(o *registry.Object) string {
	if o == nil {
		return "absent"
	}
	return text(*o)
}

// text returns an object in JSON, for comparison and messages.
func text(o registry.Object) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// targetOf returns the target that a Deployment refers to.
func targetOf(o registry.Object) string {
	var spec struct {
		Target string `json:"deploymentTargetName"`
	}
	_ = json.Unmarshal(o.Spec, &spec) // an invalid spec differs from the acknowledged one
	return spec.Target
}
