package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/certs"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

const restartOutside = "restart that drey: it registers its webhooks and policies at start"

// outside checks a drey outside the cluster.
func (d *diagnosis) outside() {
	const check = "server"
	if err := d.Outside.Err; err != nil {
		d.add(check, Warn, fmt.Sprintf("a drey outside the cluster serves the webhooks at %s, which this machine cannot reach: %v; if the API server cannot either, these are %s", d.Outside.URL, err, deniedNow),
			"start it again, where the API server reaches it: drey serve --install-webhooks; "+d.openGates())
	}
	d.ok(check, fmt.Sprintf("a drey outside the cluster serves the webhooks at %s, and answers", d.Outside.URL))
	d.objects()
	var untrusting []string
	for name, client := range d.webhookClients() {
		d.webhooks++
		if text, _, _ := unstructured.NestedString(client, "caBundle"); text == "" {
			untrusting = append(untrusting, name)
		}
	}
	if len(untrusting) > 0 {
		d.add("caBundle", Fail, fmt.Sprintf("%d of %d webhooks have no caBundle: matching requests are denied if they fail closed, and objects not labeled if they fail open: %s",
			len(untrusting), d.webhooks, some(untrusting)), restartOutside)
	}
}

// ExpectOutside sets the objects that a drey outside the cluster registers, and its options. Its
// objects are the only source of its options, so each option is the one that most of them state.
func (f *Facts) ExpectOutside() error {
	var all []map[string]any // webhooks
	for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
		if live := f.Live[Key(kind, "", config.Name)]; live != nil {
			all = append(all, webhooksOf(live)...)
		}
	}
	var registry bool
	var hosts, namespaces, usernames []string
	for _, w := range all {
		registry = registry || w["name"] == config.NameValidateRegistry || w["name"] == config.NameValidateMetadata
		hosts = append(hosts, urls(&unstructured.Unstructured{Object: map[string]any{"webhooks": []any{w}}})...)
		namespaces = append(namespaces, excludedNamespaces(w)...)
		usernames = append(usernames, exemptUsers(w)...)
	}
	if policy := f.Live[Key("ValidatingAdmissionPolicy", "", config.ClaimPolicy)]; policy != nil {
		spec, _ := policy.Object["spec"].(map[string]any)
		usernames = append(usernames, exemptUsers(spec)...)
	}
	f.Options.Namespace, f.Options.Mode, f.Options.Store = mostFrequent(namespaces, f.Options.Namespace), f.outsideMode(), bundle.Embedded
	if registry {
		f.Options.Store = bundle.Kubernetes
	}
	expected, err := bundle.Outside{URL: mostFrequent(hosts, ""), Registry: registry, PolicyOptions: config.PolicyOptions{
		Exclude: append([]string{f.Options.Namespace}, config.SystemNamespaces...), Mode: f.Options.Mode,
		Username: mostFrequent(usernames, ""), OwnNamespace: f.Options.Namespace,
	}}.Objects()
	if err != nil {
		return err
	}
	for _, o := range expected {
		f.acceptUnknown(o)
	}
	if registry {
		definitions, err := bundle.CRDs()
		if err != nil {
			return err
		}
		expected = append(definitions, expected...)
	}
	f.Expected = expected
	return nil
}

// outsideMode returns the mode that the bindings of the gate policy state. Modes other than
// enforce have a second binding.
func (f *Facts) outsideMode() config.Mode {
	gate := f.Live[Key("ValidatingAdmissionPolicyBinding", "", config.PodPolicy)]
	if gate == nil || f.Live[Key("ValidatingAdmissionPolicyBinding", "", config.PodPolicy+"-enforce")] == nil {
		return config.Enforce
	}
	actions, _, _ := unstructured.NestedStringSlice(gate.Object, "spec", "validationActions")
	switch {
	case slices.Equal(actions, []string{"Warn"}):
		return config.Warn
	case slices.Equal(actions, []string{"Audit"}):
		return config.Audit
	}
	return config.Enforce
}

// acceptUnknown removes from an expected object, or takes from the live one, what only that drey
// knows: tokens in the paths of webhooks, and texts of denials.
func (f *Facts) acceptUnknown(want bundle.Object) {
	live := f.Live[Key(want.GetKind(), "", want.GetName())]
	if live == nil {
		return
	}
	paths, clients := config.Paths(), map[any]map[string]any{}
	for _, w := range webhooksOf(live) {
		clients[w["name"]], _ = w["clientConfig"].(map[string]any)
	}
	for _, w := range webhooksOf(want.Unstructured) {
		client, _ := w["clientConfig"].(map[string]any)
		name, _ := w["name"].(string)
		url, _ := clients[name]["url"].(string)
		base, _ := client["url"].(string)
		if path, ok := strings.CutPrefix(url, strings.TrimSuffix(base, paths[name])); ok && certs.HasPathToken(path, paths[name]) {
			client["url"] = url
		}
	}
	if want.GetName() != config.PodPolicy {
		return
	}
	for _, field := range []string{"validations", "variables"} {
		list, _, _ := unstructured.NestedSlice(want.Object, "spec", field)
		for _, entry := range list {
			entry, _ := entry.(map[string]any)
			delete(entry, "messageExpression")
			if field == "variables" {
				delete(entry, "expression") // of the contact, in denials
			}
		}
		_ = unstructured.SetNestedSlice(want.Object, list, "spec", field) // a list before
	}
}

func webhooksOf(configuration *unstructured.Unstructured) (all []map[string]any) {
	webhooks, _ := configuration.Object["webhooks"].([]any)
	for _, w := range webhooks {
		if w, ok := w.(map[string]any); ok {
			all = append(all, w)
		}
	}
	return all
}

// excludedNamespaces returns the namespaces that the selector of a webhook excludes, except the
// system's.
func excludedNamespaces(webhook map[string]any) (all []string) {
	requirements, _, _ := unstructured.NestedSlice(webhook, "namespaceSelector", "matchExpressions")
	for _, r := range requirements {
		requirement, _ := r.(map[string]any)
		values, _, _ := unstructured.NestedStringSlice(requirement, "values")
		if requirement["key"] == "kubernetes.io/metadata.name" && requirement["operator"] == "NotIn" {
			all = append(all, values...)
		}
	}
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(config.SystemNamespaces, name) })
}

// exemptUsers returns the users that the matchConditions of a webhook or policy exempt.
func exemptUsers(spec map[string]any) (all []string) {
	conditions, _, _ := unstructured.NestedSlice(spec, "matchConditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		expression, _ := condition["expression"].(string)
		quoted, ok := strings.CutPrefix(expression, "request.userInfo.username != ")
		if name, err := strconv.Unquote(quoted); ok && err == nil {
			all = append(all, name)
		}
	}
	return all
}

// mostFrequent returns the most frequent text, the first of several, or the fallback without any.
func mostFrequent(all []string, fallback string) string {
	counts := map[string]int{}
	for _, text := range all {
		counts[text]++
	}
	most := fallback
	for _, text := range all {
		if counts[text] > counts[most] {
			most = text
		}
	}
	return most
}
