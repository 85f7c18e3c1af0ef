package verdict

import (
	"fmt"

	"drey.dev/drey/webhook/flink"
)

// Explanation is a verdict with its reasons, for people and for programs.
type Explanation struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`

	Allowed bool   `json:"allowed"`
	Reason  Reason `json:"reason"`
	Message string `json:"message,omitempty"` // of a denial
	Warning string `json:"warning,omitempty"`

	Strength string   `json:"strength"` // none, weak, medium or strong
	Signals  []string `json:"signals"`
	Flavor   string   `json:"flavor,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Role     string   `json:"role,omitempty"`
	Owners   []string `json:"owners,omitempty"` // nearest first

	PlatformNamespace string           `json:"platformNamespace,omitempty"`
	Labels            []ExplainedLabel `json:"labels,omitempty"`
}

// ExplainedLabel is a label that the workload should have.
type ExplainedLabel struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"` // empty: nothing is known
	Source Source `json:"source,omitempty"`
	From   string `json:"from,omitempty"` // the source, in words

	// Has is what the object says itself, if it says anything.
	Has    *string `json:"has,omitempty"`
	Action Action  `json:"action"`
}

// Action is what becomes of a label.
type Action string

// The actions.
const (
	Added    Action = "add"  // it is missing, and known
	Present  Action = "has"  // it is there, as it should be
	Kept     Action = "keep" // it is there with another value, and stays
	LeftOut  Action = "none" // nothing is known
	Conflict Action = "conflict"
	LeftOff  Action = "leave off" // a selector wants it absent
	Mistaken Action = "mistaken"  // the process contradicts it
)

// Explain says what was recognized by which signal, which source gave which label,
// and which rule denied.
func (v Verdict) Explain(r Registry) Explanation {
	w := v.workload
	e := Explanation{
		Kind: w.Object.Kind, Namespace: w.Object.Namespace, Name: w.Object.Name,
		Allowed: v.Allowed, Reason: v.Reason, Message: v.Message(r), Warning: v.Warning(),
		Strength: w.Strength.String(), Signals: w.Signals.Names(),
		Flavor: string(w.Flavor), Mode: string(w.Mode), Role: string(w.Role),
		PlatformNamespace: v.platform.name,
	}
	if e.Name == "" && w.Object.GenerateName != "" {
		e.Name = w.Object.GenerateName + "*"
	}
	for _, o := range w.Owners {
		owner := fmt.Sprintf("%s %s", o.Kind, o.Name)
		if o.Unresolved {
			owner += " (not found, or not readable)"
		}
		e.Owners = append(e.Owners, owner)
	}
	if v.Reason == HasTarget || v.Reason == RunningJob || v.Reason == LabelConflict {
		for _, l := range v.wanted(nil, v.owner) {
			e.Labels = append(e.Labels, v.explain(l))
		}
	}
	for _, l := range v.Wrong {
		e.Labels = append(e.Labels, ExplainedLabel{Key: l.Key, Has: &l.Value, Action: Mistaken, From: "its process is of the other mode"})
	}
	return e
}

func (v Verdict) explain(l Label) ExplainedLabel {
	e := ExplainedLabel{Key: l.Key, Value: l.Value, Action: Added}
	switch {
	case l.Value == "":
		e.Action = LeftOut
	case v.workload.ExcludesLabel(l.Key):
		e.Action, e.From = LeftOff, "the selector of its controller wants pods without it"
		if v.workload.Owners[0].SelectorUnknown {
			e.From = "the selector of its controller could not be read"
		}
	default:
		e.Source, e.From = l.Source, v.from(l)
	}
	has, ok := v.workload.Object.Labels[l.Key]
	if !ok {
		return e
	}
	e.Has = &has
	switch {
	case l.Key == v.conflict.Key:
		e.Action = Conflict
	case has == l.Value:
		e.Action = Present
	default:
		e.Action = Kept
	}
	return e
}

// from says in words where a label comes from.
func (v Verdict) from(l Label) string {
	w := v.workload
	switch l.Source {
	case Constant:
		return "the same for all of Flink"
	case FromMode:
		if w.Mode == flink.Session {
			return "it is of a session cluster"
		}
		return "it is of an application"
	case FromStatement:
		return "it says so itself"
	case FromTarget:
		return "the only platform namespace with a target for this namespace"
	case FromRegistry:
		if v.registered.Name == "" {
			return "where it is registered"
		}
		return fmt.Sprintf("registered as %s %s/%s", v.registered.Kind, v.registered.PlatformNamespace, v.registered.Name)
	case FromOwner:
		return "its owner was admitted with it"
	case FromJobManager:
		return fmt.Sprintf("the JobManager's workload of cluster %q in this namespace", w.Identity.Name)
	case FromRoot:
		if l.Value == w.Root.UID {
			return fmt.Sprintf("the uid of %s %s", w.Root.Kind, w.Root.Name)
		}
		return fmt.Sprintf("%q, which the cluster is called by", w.Identity.Name)
	case FromJob:
		return "--job-id, the custom resource's status, or another operator's label"
	}
	return ""
}
