package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
)

// reinstall is the command that restores the objects of the installation.
func (d *diagnosis) reinstall() string {
	o := d.Options
	switch {
	case d.Image == "" && d.Outside != nil:
		return restartOutside
	case strings.HasPrefix(d.Manager, "the Helm release "):
		return fmt.Sprintf("helm upgrade of %s, with --reuse-values", d.Manager)
	case d.Manager != "":
		return "synchronize " + d.Manager
	}
	args := []string{fmt.Sprintf("drey install -n %s --image %s --certs %s --store %s --mode %s --replicas %d", o.Namespace, d.Image, o.Certs, o.Store, o.Mode, o.Replicas)}
	if o.RESTURL != "" {
		args = append(args, "--rest-url "+o.RESTURL)
	}
	if o.Contact != "" {
		args = append(args, fmt.Sprintf("--contact %q", o.Contact))
	}
	for _, key := range slices.Sorted(maps.Keys(o.NodeSelector)) {
		args = append(args, fmt.Sprintf("--node-selector %s=%s", key, o.NodeSelector[key]))
	}
	for _, t := range o.Tolerations {
		args = append(args, "--toleration "+bundle.FormatToleration(t))
	}
	if !slices.Equal(o.AggregateTo, bundle.UserRoles()) {
		args = append(args, "--aggregate-to="+strings.Join(o.AggregateTo, ","))
	}
	return strings.Join(args, " ") + " (or kubectl apply -k, as it was installed)"
}

// customized are the kinds whose fields admins change.
var customized = []string{"ConfigMap", "Deployment", "ServiceAccount", "PersistentVolumeClaim", "Namespace", "ResourceQuota", "NetworkPolicy", "PodDisruptionBudget"}

// exact are the admission kinds, in which a field that drey does not set may restrict what
// they match.
var exact = []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

// optional are the kinds that drey works without.
var optional = []string{"PodDisruptionBudget", "NetworkPolicy", "ResourceQuota"}

func (d *diagnosis) objects() {
	const check = "objects"
	missing, differing := map[Level][]string{}, map[Level][]string{}
	var undefined []string // definitions that a drey outside does not write
	var unread []string
	var unreadErr error
	for _, want := range d.Expected {
		key := Key(want.GetKind(), want.GetNamespace(), want.GetName())
		if err := d.ReadErrors[key]; err != nil {
			unread, unreadErr = append(unread, want.String()), err
			continue
		}
		level := Fail
		if slices.Contains(optional, want.GetKind()) {
			level = Warn
		}
		live := d.Live[key]
		switch {
		case live == nil && slices.Contains(exact, want.GetKind()) && !d.registered(): // the check admission says so
		case live == nil && want.GetKind() == "CustomResourceDefinition" && d.Outside != nil:
			undefined = append(undefined, want.String())
		case live == nil:
			missing[level] = append(missing[level], want.String())
		case len(urls(live)) > 0 && d.Outside == nil:
			d.add(check, level, fmt.Sprintf("webhooks of %s call %s instead of the Service %s", want, some(urls(live)), bundle.Name),
				fmt.Sprintf("stop the drey there, and remove its webhooks: drey uninstall -n %s --admission-only, which opens all namespaces to Flink until drey installs them again: %s", d.Options.Namespace, d.reinstall()))
		case !slices.Contains(customized, want.GetKind()):
			changed, added := differences(want.Unstructured, live)
			if len(changed) > 0 {
				differing[level] = append(differing[level], fmt.Sprintf("%s at %s", want, strings.Join(paths(changed), ", ")))
			}
			if len(added) > 0 { // neither apply nor Helm removes fields of others
				d.add(check, level, fmt.Sprintf("%s has more than this version installs, at %s, which may restrict what it matches", want, strings.Join(paths(added), ", ")),
					fmt.Sprintf("kubectl patch %s --type=json -p '%s'", want, patch(added)))
			}
		}
	}
	if len(undefined) > 0 {
		d.add(check, Fail, "no definition of objects of the registry: "+some(undefined), "kubectl apply --server-side -k manifests/crds; its objects are deleted with a definition: restore them from a backup")
	}
	for _, level := range []Level{Fail, Warn} {
		switch n := len(missing[level]); {
		case n == 1:
			d.add(check, level, missing[level][0]+" does not exist", d.reinstall())
		case n > 1:
			d.add(check, level, fmt.Sprintf("%d objects do not exist: %s", n, some(missing[level])), d.reinstall())
		}
		switch n := len(differing[level]); {
		case n == 1:
			object, at, _ := strings.Cut(differing[level][0], " at ")
			d.add(check, level, fmt.Sprintf("%s differs from that of this version, at %s", object, at), d.reinstall())
		case n > 1:
			d.add(check, level, fmt.Sprintf("%d objects differ from those of this version: %s", n, some(differing[level])), d.reinstall())
		}
	}
	for _, o := range d.Obsolete {
		d.add(check, Warn, fmt.Sprintf("%s of another version of drey still applies", o), "kubectl delete "+o)
	}
	switch n := len(unread); {
	case n == 1:
		d.add(check, Warn, fmt.Sprintf("cannot read %s: %v", unread[0], unreadErr), runWithRights)
	case n > 1:
		d.add(check, Warn, fmt.Sprintf("cannot read %d objects: %s: %v", n, some(unread), unreadErr), runWithRights)
	}
	if !d.registered() {
		d.ok(check, "all others exist, as this version installs them")
	}
	d.ok(check, fmt.Sprintf("all %d exist, as this version installs them", len(d.Expected)))
}

// urls returns the URLs that the webhooks of a configuration call, without their paths.
func urls(configuration *unstructured.Unstructured) (all []string) {
	webhooks, _ := configuration.Object["webhooks"].([]any)
	for _, w := range webhooks {
		webhook, _ := w.(map[string]any)
		text, _, _ := unstructured.NestedString(webhook, "clientConfig", "url")
		if u, err := url.Parse(text); err == nil && u.Host != "" && !slices.Contains(all, u.Scheme+"://"+u.Host) {
			all = append(all, u.Scheme+"://"+u.Host)
		}
	}
	return all
}

// some lists the first of many.
func some(all []string) string {
	const shown = 6
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), len(all)-shown)
}

// difference is a field that differs from what drey installs.
type difference struct {
	path []string // keys, and indexes of lists
	want any      // nil: no such field
}

// String returns the path as kubectl explain prints it, such as webhooks[0].rules.
func (f difference) String() string {
	var b strings.Builder
	for i, token := range f.path {
		switch {
		case token[0] >= '0' && token[0] <= '9':
			fmt.Fprintf(&b, "[%s]", token)
		case i > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}

func paths(all []difference) (texts []string) {
	for _, f := range all {
		texts = append(texts, f.String())
	}
	return texts
}

// patch returns the JSON patch that restores fields.
func patch(all []difference) string {
	var operations []map[string]any
	for _, f := range slices.Backward(all) { // a removal moves no index of the others
		var pointer strings.Builder
		for _, token := range f.path {
			pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
		}
		operation := map[string]any{"op": "replace", "path": pointer.String(), "value": f.want}
		if f.want == nil {
			operation = map[string]any{"op": "remove", "path": pointer.String()}
		}
		operations = append(operations, operation)
	}
	text, _ := json.Marshal(operations) // from JSON
	return string(text)
}

// differences returns the fields of live that differ from want, and those that want does not
// have. Such additional fields are allowed except in the kinds of exact. The caBundle has a
// check of its own, and the timeouts of webhooks may be longer.
func differences(want, live *unstructured.Unstructured) (changed, added []difference) {
	c := comparison{exact: slices.Contains(exact, want.GetKind())}
	if c.exact {
		live = withoutEnforcer(live)
	}
	for _, field := range slices.Sorted(maps.Keys(want.Object)) {
		switch field {
		case "apiVersion", "kind", "metadata", "status":
			continue
		}
		c.compare(want.Object[field], live.Object[field], field)
	}
	return c.changed, c.added
}

// enforcerKeys are the label keys by which AKS's admissions enforcer excludes namespaces of the
// platform from all webhooks.
var enforcerKeys = []string{"control-plane", "kubernetes.azure.com/managedby"}

// withoutEnforcer returns a webhook configuration without the requirements that AKS adds to each
// namespaceSelector, and writes again whenever they are removed.
func withoutEnforcer(live *unstructured.Unstructured) *unstructured.Unstructured {
	live = live.DeepCopy()
	webhooks, _ := live.Object["webhooks"].([]any)
	for _, w := range webhooks {
		webhook, _ := w.(map[string]any)
		selector, _ := webhook["namespaceSelector"].(map[string]any)
		requirements, _ := selector["matchExpressions"].([]any)
		kept := slices.DeleteFunc(requirements, func(r any) bool {
			requirement, _ := r.(map[string]any)
			key, _ := requirement["key"].(string)
			operator, _ := requirement["operator"].(string)
			return slices.Contains(enforcerKeys, key) && (operator == "NotIn" || operator == "DoesNotExist")
		})
		if len(kept) < len(requirements) {
			selector["matchExpressions"] = kept
		}
		if len(kept) == 0 && len(requirements) > 0 {
			delete(selector, "matchExpressions")
		}
	}
	return live
}

type comparison struct {
	exact          bool // additional fields differ too
	changed, added []difference
}

func (c *comparison) compare(want, live any, path ...string) {
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(w)) {
			if key == "caBundle" || key == "timeoutSeconds" && atLeast(l[key], w[key]) {
				continue
			}
			c.compare(w[key], l[key], append(slices.Clip(path), key)...)
		}
		for _, key := range slices.Sorted(maps.Keys(l)) {
			if _, wanted := w[key]; !wanted && c.exact && narrows(l[key]) {
				c.added = append(c.added, difference{append(slices.Clip(path), key), nil})
			}
		}
		return
	case []any:
		l, _ := live.([]any)
		switch {
		case len(l) > len(w) && c.exact:
			c.added = append(c.added, difference{path, want})
		case len(l) != len(w):
			c.changed = append(c.changed, difference{path, want})
		default:
			for i := range w {
				c.compare(w[i], l[i], append(slices.Clip(path), fmt.Sprint(i))...)
			}
		}
		return
	}
	if fmt.Sprint(want) != fmt.Sprint(live) && (live != nil || want != "" && want != false && want != nil) {
		c.changed = append(c.changed, difference{path, want})
	}
}

// atLeast compares integers.
func atLeast(live, want any) bool {
	l, isInteger := live.(int64)
	w, ok := want.(int64)
	return isInteger && ok && l >= w
}

// narrows reports whether an additional field is more than a default of the API server:
// selectors, conditions and exclusions are objects or lists that are not empty.
func narrows(live any) bool {
	switch l := live.(type) {
	case map[string]any:
		return len(l) > 0
	case []any:
		return len(l) > 0
	}
	return false
}
