package webhook

import (
	"fmt"

	"drey.dev/drey/webhook/verdict"
)

// Mode is what becomes of a denial.
type Mode string

// The modes. Labels are added in each.
const (
	Enforce Mode = "enforce" // it is refused
	Warn    Mode = "warn"    // it passes, and who made it is warned
	Audit   Mode = "audit"   // it passes, and an event and a metric tell of it
)

// ModeLabel sets the mode of one namespace.
const ModeLabel = "drey.dev/mode"

// ParseMode reads a mode.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case Enforce, Warn, Audit:
		return m, nil
	}
	return "", fmt.Errorf("%q is no mode: use %s, %s or %s", text, Enforce, Warn, Audit)
}

// Denial is a denial that was let pass.
type Denial struct {
	Kind, Namespace, Name string // of the object, or of its root if it has no name yet
	Reason                verdict.Reason
	Message               string
}

// refuse words a denial, and lets the namespace's mode say what becomes of it.
func (w *Webhooks) refuse(answer *response, v verdict.Verdict, webhook string, dryRun bool) {
	o := v.Object()
	mode, message := w.mode(o.Namespace), v.Message(w.address)
	w.metrics.denied(webhook, v.Reason, mode)
	w.log.Info("workload denied", "webhook", webhook, "reason", v.Reason, "mode", mode, "kind", o.Kind, "namespace", o.Namespace,
		"name", o.Name, "generateName", o.GenerateName, "uid", answer.uid)
	switch mode {
	case Warn:
		answer.mode = mode
		answer.warnings = append(answer.warnings, "drey would refuse this: "+message)
	case Audit:
		answer.mode = mode
		if !dryRun {
			w.observe(denialOf(v, message))
		}
	default:
		answer.allowed, answer.message = false, message
	}
}

func denialOf(v verdict.Verdict, message string) Denial {
	d := Denial{Reason: v.Reason, Message: message}
	o := v.Object()
	d.Kind, d.Namespace, d.Name = o.Kind, o.Namespace, o.Name
	if d.Name == "" {
		d.Kind, d.Name = v.Root().Kind, v.Root().Name
	}
	return d
}
