package verdict

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// Message words a denial for the person who has to act on it: which
// namespace, what is wrong, and the command that mends it. registryURL is
// where the REST API is. Empty when the verdict is to allow.
func (v Verdict) Message(registryURL string) string {
	switch v.Reason {
	case NoDeploymentTarget:
		return fmt.Sprintf("%s is a Flink workload (%s), and namespace %q has no DeploymentTarget, so Flink may not run there. "+
			"Deploy it to a namespace that has one, or register this one: %s",
			describe(v.workload), evidence(v.workload), v.workload.Object.Namespace, registerCommand(v.workload, registryURL))
	case AmbiguousTarget:
		return fmt.Sprintf("%s is a Flink workload (%s), and namespace %q has DeploymentTargets of the platform namespaces %s: "+
			"nothing says to which of them it belongs. Set the label %s of its pods to one of them: %s",
			describe(v.workload), evidence(v.workload), v.workload.Object.Namespace, strings.Join(v.candidates, ", "),
			LabelPlatformNamespace, settleCommand(v.workload, v.candidates[0]))
	}
	return ""
}

func describe(w flink.Workload) string {
	o := w.Object
	if o.Name == "" {
		return fmt.Sprintf("%s \"%s*\"", o.Kind, o.GenerateName)
	}
	return fmt.Sprintf("%s %q", o.Kind, o.Name)
}

func evidence(w flink.Workload) string {
	return "recognised by " + strings.Join(w.Signals.Names(), ", ")
}

func registerCommand(w flink.Workload, registryURL string) string {
	platform := shellSafe(w.Object.Pod.Labels[LabelPlatformNamespace], registry.DefaultNamespace)
	body, _ := json.Marshal(map[string]any{ // strings only: it cannot fail
		"metadata": map[string]string{"name": w.Object.Namespace},
		"spec":     map[string]any{"kubernetes": map[string]string{"namespace": w.Object.Namespace}},
	})
	return fmt.Sprintf("curl -X POST %s/api/v1/namespaces/%s/deployment-targets -H 'Content-Type: application/json' -d '%s'",
		registryURL, platform, body)
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
