package doctor

import (
	"fmt"
	"maps"
	"slices"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// deadlocks checks for webhooks of others that can keep drey's pods from starting.
func (d *diagnosis) deadlocks() {
	const check = "deadlock"
	if d.unknown(check) {
		return
	}
	for _, w := range d.Webhooks {
		if w.FailsClosed && w.MatchesPods && w.MatchesOwnNamespace {
			d.add(check, Warn, fmt.Sprintf("the webhook %s of %s matches pods in %s and fails closed: while it is down, drey cannot start", w.Name, w.Configuration, d.Options.Namespace),
				fmt.Sprintf("exclude %s in its namespaceSelector: {key: kubernetes.io/metadata.name, operator: NotIn, values: [%s]}", d.Options.Namespace, d.Options.Namespace))
		}
	}
	d.ok(check, "no webhook of others can block drey's pods")
}

func (d *diagnosis) modes() {
	const check = "modes"
	if d.unknown(check) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(d.Namespaces)) {
		mode, ok := d.Namespaces[name][config.LabelMode]
		if !ok {
			continue
		}
		if _, err := config.ParseMode(mode); err != nil {
			d.add(check, Warn, fmt.Sprintf("namespace %s has an invalid mode in the label %s=%s: the mode of the installation applies, %s", name, config.LabelMode, mode, d.Options.Mode),
				fmt.Sprintf("kubectl label namespace %s %s=warn --overwrite (or enforce, audit; or %s- for none)", name, config.LabelMode, config.LabelMode))
		}
	}
	d.ok(check, "all modes of namespaces are valid")
}

// targets compares the targets with the label that the built-in policy checks.
func (d *diagnosis) targets() {
	const check = "targets"
	missingDefinition := func(o bundle.Object) bool {
		return o.GetKind() == "CustomResourceDefinition" && d.Live[Key(o.GetKind(), "", o.GetName())] == nil
	}
	if d.TargetsError != nil && slices.ContainsFunc(d.Expected, missingDefinition) { // the check objects says so
		return
	}
	if d.TargetsError != nil && d.Outside != nil && d.Options.Store == bundle.Embedded {
		d.ok(check, "in the store of that drey: drey targets list --server URL")
		return
	}
	if d.TargetsError != nil {
		d.add(check, Warn, fmt.Sprintf("cannot read targets: %v", d.TargetsError), "run drey doctor as a user with list on deploymenttargets.drey.dev; with --store embedded: drey targets list")
		return
	}
	if d.unknown(check) {
		return
	}
	excluded := append([]string{d.Options.Namespace}, config.SystemNamespaces...)
	targeted := map[string]bool{}
	logs := fmt.Sprintf("kubectl logs -n %s deployment/%s, and look for \"namespace not labeled\"", d.Options.Namespace, bundle.Name)
	if d.Outside != nil {
		logs = "look for \"namespace not labeled\" in the log of that drey"
	}
	for _, t := range d.Targets {
		targeted[t.Namespace] = true
		labels, there := d.Namespaces[t.Namespace]
		switch {
		case !there:
			d.add(check, Warn, fmt.Sprintf("DeploymentTarget %s in platform namespace %s points at namespace %s, which does not exist", t.Name, t.Platform, t.Namespace), "kubectl create namespace "+t.Namespace)
		case labels[config.LabelRegistered] != config.Registered && !slices.Contains(excluded, t.Namespace):
			d.add(check, Fail, fmt.Sprintf("namespace %s has a target and lacks the label %s: the built-in policy denies Flink's pods there", t.Namespace, config.LabelRegistered), logs)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Namespaces)) {
		if d.Namespaces[name][config.LabelRegistered] == config.Registered && !targeted[name] {
			d.add(check, Warn, fmt.Sprintf("namespace %s is labeled, and has no target: while drey is down, any Flink workload may run there", name), logs)
		}
	}
	d.ok(check, fmt.Sprintf("namespaces of all targets are labeled; targets: %d", len(d.Targets)))
}
