package webhook

import (
	"cmp"
	"net"
	"net/http"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// Denial is a denied request. The modes Warn and Audit allowed it.
type Denial struct {
	User   string
	Groups []string

	Operation             string
	Kind, Namespace, Name string     // of the object; a name that ends in * is a generateName
	Root                  flink.Root // root owner; may be the object
	PlatformNamespace     string     // the only one that the object can belong to; else empty

	Reason  verdict.Reason
	Message string
	Remedy  string // the command in Message that corrects the request
	Mode    config.Mode

	// Sender is the address of a client that has shown no certificate, and so may have forged the
	// review; else empty.
	Sender string
}

// deny applies the mode of the namespace to a denial. In a dry run a missing target is a
// warning: tools dry-run sets of which the target is a part. Dry runs have no side effects, so
// they are logged alone.
func deny[T any](w *Webhooks, r *request[T], answer *response, v verdict.Verdict, webhook string) {
	o := v.Object()
	mode, message, user := w.mode(o.Namespace), v.Message(w.hint(v)), r.user()
	if r.DryRun && mode == config.Enforce && v.Reason == verdict.NoDeploymentTarget {
		mode = config.Warn
	}
	w.metrics.denied(webhook, v.Reason, mode)
	w.log.Info("workload denied", "webhook", webhook, "reason", v.Reason, "mode", mode, "kind", o.Kind, "namespace", o.Namespace,
		"name", o.Name, "generateName", o.GenerateName, "user", user.Username, "uid", answer.uid)
	switch mode {
	case config.Warn:
		answer.mode = mode
		answer.warnings = append(answer.warnings, "drey would deny this: "+message)
	case config.Audit:
		answer.mode = mode
	default:
		answer.allowed, answer.message = false, message
	}
	if r.DryRun {
		return
	}
	name := o.Name
	if name == "" && o.GenerateName != "" {
		name = o.GenerateName + "*"
	}
	w.observe(Denial{
		User: user.Username, Groups: user.Groups, Operation: r.Operation, Kind: o.Kind, Namespace: o.Namespace, Name: name, Root: v.Root(),
		PlatformNamespace: v.PlatformNamespace(), Reason: v.Reason, Message: message, Remedy: v.Remedy(w.address), Mode: mode, Sender: r.sender,
	})
}

// hint returns how the reader of a denial registers a target, with the contact of the
// namespace.
func (w *Webhooks) hint(v verdict.Verdict) verdict.RegisterHint {
	hint := w.address
	if w.contact != nil && v.Reason == verdict.NoDeploymentTarget {
		hint.Contact = cmp.Or(w.contact(v.Object().Namespace), hint.Contact)
	}
	return hint
}

// sender returns the address of the sender of a request, "" if it has shown a client
// certificate.
func sender(r *http.Request) string {
	if hasCertificate(r) {
		return ""
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
