package doctor

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// deniedNow is the effect of registered webhooks that no drey serves.
const deniedNow = "denied now: new Flink workloads in every namespace, and Flink pods in namespaces without a target; " +
	"new pods of running jobs start without labels; other workloads and deletions are not affected"

// openGates is a way out of deniedNow, with its consequence.
func (d *diagnosis) openGates() string {
	return fmt.Sprintf("to admit Flink everywhere until then: drey uninstall -n %s --admission-only, which opens all namespaces to Flink", d.Options.Namespace)
}

// registered reports whether the cluster has a webhook configuration or a policy of drey.
func (d *diagnosis) registered() bool {
	return slices.ContainsFunc(exact, func(kind string) bool {
		for key := range d.Live {
			if strings.HasPrefix(key, kind+"/") {
				return true
			}
		}
		return false
	})
}

// webhooksRegistered reports whether the cluster has a webhook configuration of drey.
func (d *diagnosis) webhooksRegistered() bool {
	return d.Live[Key("MutatingWebhookConfiguration", "", config.Name)] != nil || d.Live[Key("ValidatingWebhookConfiguration", "", config.Name)] != nil
}

func (d *diagnosis) notInstalled() {
	const check = "server"
	namespace := d.Options.Namespace
	install := "drey install -n " + namespace + ", or select another namespace with -n"
	if d.registered() && !d.webhooksRegistered() {
		d.add(check, Fail, fmt.Sprintf("no drey runs in namespace %s, and its policies are registered without its webhooks: Flink pods in namespaces without a target are denied, and nothing is labeled", namespace),
			"restart the drey outside the cluster, if there is one; else "+install+"; "+d.openGates())
		return
	}
	if d.registered() {
		d.add(check, Fail, fmt.Sprintf("no drey runs in namespace %s, and its webhooks are registered; %s", namespace, deniedNow), install+"; "+d.openGates())
		return
	}
	d.add(check, Fail, fmt.Sprintf("drey is not installed in namespace %s: no Deployment %s; nothing is denied or labeled", namespace, bundle.Name), install)
}

// admission reports what is denied now.
func (d *diagnosis) admission() {
	const check = "admission"
	serves := d.Ready > 0 && (d.Endpoints > 0 || d.CheckErrors["server"] != nil)
	webhooks := d.Live[Key("ValidatingWebhookConfiguration", "", config.Name)] != nil
	unreadable := d.ReadErrors[Key("ValidatingWebhookConfiguration", "", config.Name)] != nil
	switch {
	case unreadable: // the check objects says so
	case !webhooks && d.Ready == 0:
		d.add(check, Warn, "the webhooks are not registered yet, so nothing is denied or labeled: drey install registers them once a replica is ready", "correct the check server, and then "+d.reinstall())
	case !webhooks:
		d.add(check, Fail, "the webhooks are not registered: Flink's custom resources and workloads are not denied, and nothing is labeled", d.reinstall())
	case !serves:
		d.add(check, Fail, "no replica serves the webhooks; "+deniedNow, "correct the check server; "+d.openGates())
	case d.untrusted == d.webhooks:
		d.add(check, Fail, "the API server does not trust drey's certificate; "+deniedNow, "correct the check caBundle; "+d.openGates())
	case d.untrusted > 0:
		d.add(check, Fail, fmt.Sprintf("%d of %d webhooks fail: matching requests are denied if they fail closed, and objects not labeled if they fail open", d.untrusted, d.webhooks), "correct the check caBundle; "+d.openGates())
	}
	effect := map[config.Mode]string{config.Enforce: "denied", config.Warn: "admitted with a warning", config.Audit: "admitted with an event"}[d.Options.Mode]
	d.ok(check, fmt.Sprintf("new Flink workloads in namespaces without a target are %s, in mode %s", effect, d.Options.Mode))
}

// network checks that the NetworkPolicy allows the API server's calls of the webhooks, and drey's of the API server.
func (d *diagnosis) network() {
	const check = "network"
	live := d.Live[Key("NetworkPolicy", d.Options.Namespace, bundle.Name)]
	if live == nil {
		return
	}
	level := Warn // the network plugin may not enforce policies
	if d.Ready == 0 {
		level = Fail
	}
	if port := d.webhookPort(); !allows(live.Object, "ingress", webhookPortName, port) {
		d.add(check, level, fmt.Sprintf("networkpolicy/%s does not allow ingress to port %d, on which the API server calls the webhooks", bundle.Name, port), d.reinstall())
	}
	for _, port := range d.APIServerPorts {
		if allows(live.Object, "egress", "", int64(port)) {
			continue
		}
		d.add(check, level, fmt.Sprintf("networkpolicy/%s does not allow egress to port %d of the API server", bundle.Name, port),
			fmt.Sprintf("kubectl patch networkpolicy %s -n %s --type=json -p '[{\"op\":\"add\",\"path\":\"/spec/egress/0/ports/-\",\"value\":{\"protocol\":\"TCP\",\"port\":%d}}]'; in the chart: networkPolicy.apiServerPorts", bundle.Name, d.Options.Namespace, port))
	}
	if len(d.APIServerPorts) > 0 {
		d.ok(check, fmt.Sprintf("networkpolicy/%s allows egress to the API server", bundle.Name))
	}
}

// webhookPortName is the name of the container's port for webhooks.
const webhookPortName = "webhooks"

// webhookPort returns the port on which drey's pods serve webhooks.
func (d *diagnosis) webhookPort() int64 {
	const defaultPort = 9443
	live := d.Live[Key("Deployment", d.Options.Namespace, bundle.Name)]
	if live == nil {
		return defaultPort
	}
	containers, _, _ := unstructured.NestedSlice(live.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		container, _ := c.(map[string]any)
		ports, _ := container["ports"].([]any)
		for _, p := range ports {
			port, _ := p.(map[string]any)
			if number, ok := port["containerPort"].(int64); ok && port["name"] == webhookPortName {
				return number
			}
		}
	}
	return defaultPort
}

// allows reports whether a NetworkPolicy allows TCP in a direction, egress or ingress, by the number or the name of
// a port. Whom its rules select is not considered.
func allows(policy map[string]any, direction, name string, number int64) bool {
	spec, _ := policy["spec"].(map[string]any)
	types, _ := spec["policyTypes"].([]any)
	if !slices.ContainsFunc(types, func(t any) bool { return strings.EqualFold(fmt.Sprint(t), direction) }) {
		return true
	}
	rules, _ := spec[direction].([]any)
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		ports, _ := rule["ports"].([]any)
		if len(ports) == 0 {
			return true
		}
		for _, p := range ports {
			port, _ := p.(map[string]any)
			if protocol := port["protocol"]; protocol != nil && protocol != "TCP" {
				continue
			}
			switch first := port["port"].(type) {
			case nil:
				return true
			case string:
				if first == name {
					return true
				}
			case int64:
				last, ok := port["endPort"].(int64)
				if !ok {
					last = first
				}
				if first <= number && number <= last {
					return true
				}
			}
		}
	}
	return false
}
