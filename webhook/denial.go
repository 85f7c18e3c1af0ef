package webhook

import (
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// Denial is a denial that mode Audit allowed.
type Denial struct {
	Kind, Namespace, Name string // of the object, or of its root if it has no name yet
	Reason                verdict.Reason
	Message               string
}

// deny applies the mode of the namespace to a denial.
func (w *Webhooks) deny(answer *response, v verdict.Verdict, webhook string, dryRun bool) {
	o := v.Object()
	mode, message := w.mode(o.Namespace), v.Message(w.address)
	w.metrics.denied(webhook, v.Reason, mode)
	w.log.Info("workload denied", "webhook", webhook, "reason", v.Reason, "mode", mode, "kind", o.Kind, "namespace", o.Namespace,
		"name", o.Name, "generateName", o.GenerateName, "uid", answer.uid)
	switch mode {
	case config.Warn:
		answer.mode = mode
		answer.warnings = append(answer.warnings, "drey would deny this: "+message)
	case config.Audit:
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
