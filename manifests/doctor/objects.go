package doctor

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// reinstall is the command that restores the objects of the installation.
func (d *diagnosis) reinstall() string {
	o := d.Options
	command := fmt.Sprintf("drey install -n %s --image %s --certs %s --store %s --mode %s --replicas %d", o.Namespace, d.Image, o.Certs, o.Store, o.Mode, o.Replicas)
	if o.RESTURL != "" {
		command += " --rest-url " + o.RESTURL
	}
	return command + " (or helm upgrade, or kubectl apply -k, as it was installed)"
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
	for _, want := range d.Expected {
		key := Key(want.GetKind(), want.GetNamespace(), want.GetName())
		if err := d.ReadErrors[key]; err != nil {
			d.add(check, Warn, fmt.Sprintf("cannot read %s: %v", want, err), runWithRights)
			continue
		}
		live := d.Live[key]
		switch {
		case live == nil && slices.Contains(optional, want.GetKind()):
			d.add(check, Warn, fmt.Sprintf("%s does not exist", want), d.reinstall())
		case live == nil:
			d.add(check, Fail, fmt.Sprintf("%s does not exist", want), d.reinstall())
		case !slices.Contains(customized, want.GetKind()):
			if at, added := difference(want.Unstructured, live); at != "" {
				level, fix := Fail, d.reinstall()
				if slices.Contains(optional, want.GetKind()) {
					level = Warn
				}
				if added && slices.Contains(exact, want.GetKind()) { // apply does not remove fields of other managers
					fix = fmt.Sprintf("kubectl delete %s, and then %s", want, fix)
				}
				d.add(check, level, fmt.Sprintf("%s differs from what this version installs, at %s", want, at), fix)
			}
		}
	}
	d.ok(check, fmt.Sprintf("all %d exist, as this version installs them", len(d.Expected)))
}

// difference returns the path of the first field of live that differs from want, and whether
// want does not have it. Such additional fields are allowed except in the kinds of exact.
// The caBundle has a check of its own, and the timeouts of webhooks are a value of the chart.
func difference(want, live *unstructured.Unstructured) (at string, added bool) {
	c := comparison{exact: slices.Contains(exact, want.GetKind())}
	for _, field := range slices.Sorted(maps.Keys(want.Object)) {
		switch field {
		case "apiVersion", "kind", "metadata", "status":
			continue
		}
		if at := c.differs(want.Object[field], live.Object[field], field); at != "" {
			return at, c.added
		}
	}
	return "", false
}

type comparison struct {
	exact bool // additional fields differ too
	added bool // the field that differs is an additional one
}

func (c *comparison) differs(want, live any, path string) string {
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(w)) {
			if key == "caBundle" || key == "timeoutSeconds" {
				continue
			}
			if at := c.differs(w[key], l[key], path+"."+key); at != "" {
				return at
			}
		}
		for _, key := range slices.Sorted(maps.Keys(l)) {
			if _, wanted := w[key]; !wanted && c.exact && narrows(l[key]) {
				c.added = true
				return path + "." + key
			}
		}
		return ""
	case []any:
		l, _ := live.([]any)
		if len(w) != len(l) {
			c.added = len(l) > len(w)
			return path
		}
		for i := range w {
			if at := c.differs(w[i], l[i], fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
		return ""
	}
	if fmt.Sprint(want) != fmt.Sprint(live) && (live != nil || want != "" && want != false && want != nil) {
		return path
	}
	return ""
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
