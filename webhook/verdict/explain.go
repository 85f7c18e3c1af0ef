package verdict

import (
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// Explanation is a verdict with its reasons. Its JSON form is the output of drey explain.
type Explanation struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`

	Allowed bool   `json:"allowed"`
	Reason  Reason `json:"reason"`
	Message string `json:"message,omitempty"` // of a denial
	Remedy  string `json:"remedy,omitempty"`  // the command in the message that corrects it
	Warning string `json:"warning,omitempty"`

	Strength string   `json:"strength"` // none, weak, medium or strong
	Signals  []string `json:"signals"`
	Missing  []string `json:"missing,omitempty"` // signals each of which would suffice, of InsufficientSignal
	Flavor   string   `json:"flavor,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Role     string   `json:"role,omitempty"`
	Owners   []string `json:"owners,omitempty"` // nearest first

	PlatformNamespace string           `json:"platformNamespace,omitempty"`
	Labels            []ExplainedLabel `json:"labels,omitempty"`
}

// ExplainedLabel is a desired label, or one of the wrong mode.
type ExplainedLabel struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"` // the desired value, empty if there is none
	Source Source `json:"source,omitempty"`
	From   string `json:"from,omitempty"` // describes the source

	// Has is the value that the object has, nil if it lacks the label.
	Has    *string `json:"has,omitempty"`
	Action Action  `json:"action"`
}

// Action is the result for a label.
type Action string

// The actions.
const (
	ActionAdd       Action = "add"  // the label is missing, and drey adds it
	ActionPresent   Action = "has"  // the label has the desired value
	ActionKeep      Action = "keep" // the label has another value, which stays
	ActionUnknown   Action = "none" // the desired value is unknown, or is no label value
	ActionConflict  Action = "conflict"
	ActionExclude   Action = "leave off" // the selector of the pod's controller excludes the label
	ActionWrongMode Action = "mistaken"  // the label is of the other mode
)

// Explain returns the signals by which the workload was recognized, the source of each label,
// and the rule that denied.
func (v Verdict) Explain(hint RegisterHint) Explanation {
	w := v.workload
	e := Explanation{
		Kind: w.Object.Kind, Namespace: w.Object.Namespace, Name: w.Object.Name,
		Allowed: v.Allowed, Reason: v.Reason, Message: v.Message(hint), Remedy: v.Remedy(hint), Warning: v.Warning(),
		Strength: w.Strength.String(), Signals: w.Signals.Names(),
		Flavor: string(w.Flavor), Mode: string(w.Mode), Role: string(w.Role),
		PlatformNamespace: v.platform.name,
	}
	if e.Name == "" && w.Object.GenerateName != "" {
		e.Name = w.Object.GenerateName + "*"
	}
	if v.Reason == InsufficientSignal {
		e.Missing = w.Signals.Sufficient()
	}
	for _, o := range w.Owners {
		owner := fmt.Sprintf("%s %s", o.Kind, o.Name)
		if o.Unresolved {
			owner += " (not found, or not readable)"
		}
		e.Owners = append(e.Owners, owner)
	}
	if v.Reason == HasTarget || v.Reason == RunningJob || v.Reason == LabelConflict {
		for _, l := range v.desiredLabels(nil) {
			e.Labels = append(e.Labels, v.explainLabel(v.fromTemplate(l)))
		}
	}
	for _, l := range v.WrongMode {
		e.Labels = append(e.Labels, ExplainedLabel{Key: l.Key, Has: &l.Value, Action: ActionWrongMode, From: "its process is of the other mode"})
	}
	return e
}

func (v Verdict) explainLabel(l Label) ExplainedLabel {
	e := ExplainedLabel{Key: l.Key, Value: l.Value, Action: ActionAdd}
	switch {
	case l.Value == "":
		e.Action = ActionUnknown
	case !registry.IsLabelValue(l.Value):
		e.Value, e.Action, e.From = "", ActionUnknown, fmt.Sprintf("%q is no label value", l.Value)
	case v.workload.ExcludesLabel(l.Key):
		e.Action, e.From = ActionExclude, "the selector of its controller excludes the label"
		if v.workload.Owners[0].SelectorUnknown {
			e.From = "the selector of its controller could not be read"
		}
	default:
		e.Source, e.From = l.Source, v.describeSource(l)
	}
	has, ok := v.workload.Object.Labels[l.Key]
	if !ok {
		return e
	}
	e.Has = &has
	switch {
	case l.Key == v.conflict.Key:
		e.Action = ActionConflict
	case has == l.Value:
		e.Action = ActionPresent
	default:
		e.Action = ActionKeep
	}
	return e
}

func (v Verdict) describeSource(l Label) string {
	w := v.workload
	switch l.Source {
	case Constant:
		return "the same for all Flink workloads"
	case FromMode:
		if w.Mode == flink.Session {
			return "mode session"
		}
		return "mode application"
	case FromObject:
		return "set on the object"
	case FromTarget:
		return "the only platform namespace with a target for this namespace"
	case FromRegistry:
		if v.registered.Name == "" {
			return "the only platform namespace in which it is registered"
		}
		return fmt.Sprintf("registered as %s %s/%s", v.registered.Kind, v.registered.PlatformNamespace, v.registered.Name)
	case FromOwner:
		return "label of its admitted owner"
	case FromJobManager:
		return fmt.Sprintf("the JobManager's workload of cluster %q in this namespace", w.Identity.Name)
	case FromRoot:
		if l.Value == w.Root.UID {
			return fmt.Sprintf("uid of %s %s", w.Root.Kind, w.Root.Name)
		}
		return fmt.Sprintf("cluster name %q", w.Identity.Name)
	case FromJob:
		return "--job-id, the status of the custom resource, or the job id label of another operator"
	}
	return ""
}
