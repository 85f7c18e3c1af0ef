package verdict

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// Registry is how people reach the REST API, by which they register a target.
type Registry struct {
	URL     string // such as http://127.0.0.1:8080
	AsksWho bool   // they need a token
}

// Message words a denial for the person who has to act on it: which
// namespace, what is wrong, the command that mends it, and, last because
// conditions and events cut long messages, why drey takes this for Flink.
// Empty when the verdict is to allow.
func (v Verdict) Message(r Registry) string {
	w := v.workload
	switch v.Reason {
	case NoDeploymentTarget:
		return fmt.Sprintf("namespace %q has no DeploymentTarget, so Flink may not run there. Register it: %s ; or deploy to a namespace that has one. %s",
			w.Object.Namespace, registerCommand(w, r), evidence(w))
	case AmbiguousTarget:
		return fmt.Sprintf("namespace %q has DeploymentTargets of the platform namespaces %s, and nothing says whose this is. "+
			"Set the label %s of its pods to one of them: %s . %s",
			w.Object.Namespace, strings.Join(v.candidates, ", "), LabelPlatformNamespace, settleCommand(w, v.candidates[0]), evidence(w))
	}
	return ""
}

func evidence(w flink.Workload) string {
	o := w.Object
	name := strconv.Quote(o.Name)
	if o.Name == "" {
		name = strconv.Quote(o.GenerateName + "*")
	}
	return fmt.Sprintf("(%s %s is taken for Flink's by %s.)", o.Kind, name, strings.Join(w.Signals.Names(), ", "))
}

func registerCommand(w flink.Workload, r Registry) string {
	platform := shellSafe(w.Object.Pod.Labels[LabelPlatformNamespace], registry.DefaultNamespace)
	body, _ := json.Marshal(map[string]any{ // strings only: it cannot fail
		"metadata": map[string]string{"name": w.Object.Namespace},
		"spec":     map[string]any{"kubernetes": map[string]string{"namespace": w.Object.Namespace}},
	})
	who := ""
	if r.AsksWho {
		who = ` -H "Authorization: Bearer $DREY_TOKEN"`
	}
	return fmt.Sprintf("curl -X POST %s/api/v1/namespaces/%s/deployment-targets%s -H 'Content-Type: application/json' -d '%s'",
		r.URL, platform, who, body)
}

// settleCommand labels the pods where they are described: in the manifest that
// was just refused, or in the object that tries to make them.
func settleCommand(w flink.Workload, platform string) string {
	labels := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, LabelPlatformNamespace, platform)
	root := shellSafe(w.Root.Name, "NAME")
	switch o := w.Object; {
	case w.Root.Kind == "FlinkDeployment":
		return fmt.Sprintf(`kubectl patch flinkdeployment %s -n %s --type merge -p '{"spec":{"podTemplate":%s}}'`, root, o.Namespace, labels)
	case o.Kind == "Pod" && (w.Root.Kind == "Deployment" || w.Root.Kind == "StatefulSet"):
		return fmt.Sprintf(`kubectl patch %s %s -n %s --type merge -p '{"spec":{"template":%s}}'`, strings.ToLower(w.Root.Kind), root, o.Namespace, labels)
	case o.Kind == "Pod":
		return localPatch(labels, o.Namespace)
	case o.Kind == "CronJob":
		return localPatch(`{"spec":{"jobTemplate":{"spec":{"template":`+labels+`}}}}`, o.Namespace)
	default:
		return localPatch(`{"spec":{"template":`+labels+`}}`, o.Namespace)
	}
}

// shellSafe returns a name that may be pasted into a shell. What an object
// says of itself has not been validated yet when it is admitted.
func shellSafe(name, otherwise string) string {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return otherwise
	}
	return name
}

func localPatch(patch, namespace string) string {
	return fmt.Sprintf("kubectl patch --local -f FILE --type merge -p '%s' -o yaml | kubectl apply -n %s -f -", patch, namespace)
}
