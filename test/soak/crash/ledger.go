package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"drey.dev/drey/registry"
)

// ledger is what a writer was told of its objects. Nobody else writes them.
type ledger struct {
	kept    map[registry.Key]registry.Object // as they were acknowledged
	deleted map[registry.Key]bool            // those that were, and are not
	doubt   *attempt                         // the last write, if its answer did not come
}

// attempt is a write: an object as it was, and as it is to be; nil is no object.
// Of the latter those fields are empty that the server fills in and has not
// told yet.
type attempt struct {
	key           registry.Key
	before, after *registry.Object
	acknowledged  bool // its answer came, but for the end
}

func newLedger() ledger {
	return ledger{kept: map[registry.Key]registry.Object{}, deleted: map[registry.Key]bool{}}
}

// keep notes that an object is as it is, or gone.
func (l *ledger) keep(key registry.Key, o *registry.Object) {
	if o == nil {
		delete(l.kept, key)
		l.deleted[key] = true
		return
	}
	l.kept[key] = *o
	delete(l.deleted, key)
}

// compare names all in which found is not what the writer was told, and settles
// what was in doubt.
func (l *ledger) compare(found map[registry.Key]registry.Object) (violations []string) {
	complain := func(key registry.Key, format string, args ...any) {
		const most = 400 // of an object, whose spec may be long
		for i, arg := range args {
			if s, ok := arg.(string); ok && len(s) > most {
				args[i] = fmt.Sprintf("%s... (%d bytes)", s[:most], len(s))
			}
		}
		violations = append(violations, fmt.Sprintf("%s %s/%s ", key.Kind, key.Namespace, key.Name)+fmt.Sprintf(format, args...))
	}
	inDoubt := func(key registry.Key) bool { return l.doubt != nil && l.doubt.key == key }
	for key, want := range l.kept {
		got, there := found[key]
		switch {
		case inDoubt(key):
		case !there:
			complain(key, "is lost: it was acknowledged as %s", text(want))
		case text(got) != text(want):
			complain(key, "is\n  %s\nand was acknowledged as\n  %s", text(got), text(want))
		}
	}
	for key, got := range found {
		if _, known := l.kept[key]; known || inDoubt(key) {
			continue
		}
		if l.deleted[key] {
			complain(key, "is back, and its deletion was acknowledged: %s", text(got))
		} else {
			complain(key, "is there, and nobody made it: %s", text(got))
		}
	}
	for key, o := range found {
		if target := targetOf(o); target != "" {
			if _, there := found[registry.Key{Kind: registry.DeploymentTarget, Namespace: key.Namespace, Name: target}]; !there {
				complain(key, "refers to DeploymentTarget %s, which is not there", target)
			}
		}
	}
	if d := l.doubt; d != nil {
		switch took, not := d.tookPlace(found), d.isAsBefore(found); {
		case d.acknowledged && !took:
			complain(d.key, "is %s, and was acknowledged as %s", d.found(found), describe(d.after))
		case !took && !not:
			complain(d.key, "is half-written: it is\n  %s\nand was\n  %s\nand was to be\n  %s", d.found(found), describe(d.before), describe(d.after))
		}
		var settled *registry.Object
		if o, there := found[d.key]; there {
			settled = &o
		}
		l.keep(d.key, settled)
		l.doubt = nil
	}
	slices.Sort(violations)
	return violations
}

// tookPlace reports whether the object is as it was to be.
func (a *attempt) tookPlace(found map[registry.Key]registry.Object) bool {
	got, there := found[a.key]
	if !there || a.after == nil {
		return !there && a.after == nil
	}
	return a.fits(got)
}

// fits reports whether an object is the one that the write makes, whatever the
// server filled in.
func (a *attempt) fits(got registry.Object) bool {
	want := a.after.Clone()
	if want.Metadata.ID == "" {
		want.Metadata.ID, want.Metadata.CreatedAt = got.Metadata.ID, got.Metadata.ModifiedAt
	}
	want.Metadata.ModifiedAt = got.Metadata.ModifiedAt
	return text(got) == text(want) && got.Metadata.ID != "" && !got.Metadata.ModifiedAt.Before(want.Metadata.CreatedAt)
}

// isAsBefore reports whether the object is as if there had been no attempt.
func (a *attempt) isAsBefore(found map[registry.Key]registry.Object) bool {
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
		return "not there"
	}
	return text(*o)
}

// text is an object whole, so that two are the same if their texts are.
func text(o registry.Object) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// targetOf is the target that a Deployment refers to.
func targetOf(o registry.Object) string {
	var spec struct {
		Target string `json:"deploymentTargetName"`
	}
	_ = json.Unmarshal(o.Spec, &spec) // one that is not readable is not as it was acknowledged, either
	return spec.Target
}
