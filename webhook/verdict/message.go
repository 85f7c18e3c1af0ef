package verdict

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// Registry is how people register a target: with kubectl, where the cluster keeps the
// registry, else over REST.
type Registry struct {
	URL       string // of the REST API, such as http://127.0.0.1:8080
	AsksWho   bool   // it takes a token
	InCluster bool
	Platform  string // the platform namespace of who asks, where nothing says which; empty: default
}

// Message words a denial for the person who has to act on it: which
// namespace, what is wrong, the command that mends it, and, last because
// conditions and events cut long messages, why drey takes this for Flink.
// Empty when the verdict is to allow.
func (v Verdict) Message(r Registry) string {
	w := v.workload
	namespace := w.Object.Namespace
	switch v.Reason {
	case NoDeploymentTarget:
		return fmt.Sprintf("namespace %q has no DeploymentTarget, so Flink may not run there. Register it: %s ; or deploy to a namespace that has one. %s",
			namespace, registerCommand(w, r, cmp.Or(statedPlatform(w), r.Platform)), evidence(w))
	case AmbiguousTarget:
		return fmt.Sprintf("namespace %q has DeploymentTargets of the platform namespaces %s, and nothing says whose this is. "+
			"Set the label %s of its pods to one of them: %s . %s",
			namespace, strings.Join(v.platform.candidates, ", "), LabelPlatformNamespace, v.remedy(v.platform.candidates[0]), evidence(w))
	case LabelConflict:
		return v.conflictMessage(r)
	case LabelImmutable:
		return v.immutableMessage()
	}
	return ""
}

func (v Verdict) conflictMessage(r Registry) string {
	w, l := v.workload, v.conflict
	if !w.Recognized() {
		return fmt.Sprintf("%s %q in namespace %q may not get the label %s=%s, which is not its own. Leave it out: kubectl label --local -f FILE %s- -o yaml",
			w.Object.Kind, cmp.Or(w.Object.Name, w.Object.GenerateName+"*"), w.Object.Namespace, l.Key, l.Value, l.Key)
	}
	if v.isUpdate {
		return fmt.Sprintf("%s %q in namespace %q may not get the label %s=%s, which is not its own: leave that out, and drey gives it its own. kubectl drey explain %s/%s -n %s says what that is",
			w.Object.Kind, w.Object.Name, w.Object.Namespace, l.Key, l.Value, strings.ToLower(w.Object.Kind), w.Object.Name, w.Object.Namespace)
	}
	if l.Key == LabelPlatformNamespace {
		return fmt.Sprintf("in namespace %q the label %s says %q, and that platform namespace has no DeploymentTarget there: only %s has. "+
			"Take the label off, and drey sets it: %s ; or register one: %s . %s",
			w.Object.Namespace, l.Key, l.Value, strings.Join(v.platform.candidates, ", "), v.remedy(""), registerCommand(w, r, l.Value), evidence(w))
	}
	return fmt.Sprintf("in namespace %q the label %s says %q, which is the id of something else. "+
		"Take the label off, and drey gives it its own: %s . %s", w.Object.Namespace, l.Key, l.Value, v.remedy(""), evidence(w))
}

func (v Verdict) immutableMessage() string {
	o := v.workload.Object
	var changes []string
	for _, l := range v.was {
		change := fmt.Sprintf("%s from %q to %q", l.Key, l.Value, o.Labels[l.Key])
		if _, there := o.Labels[l.Key]; !there {
			change = fmt.Sprintf("%s from %q to nothing", l.Key, l.Value)
		}
		changes = append(changes, change)
	}
	return fmt.Sprintf("the labels by which a Flink pod is found do not change while it runs: this would change %[3]s on pod %[1]q in namespace %[2]q. "+
		"Leave them as they are; to have its labels worked out anew, let its controller make another pod: kubectl delete pod %[4]s -n %[2]s",
		o.Name, o.Namespace, strings.Join(changes, ", "), shellSafe(o.Name, "NAME"))
}

func evidence(w flink.Workload) string {
	o := w.Object
	name := strconv.Quote(o.Name)
	if o.Name == "" {
		name = strconv.Quote(o.GenerateName + "*")
	}
	return fmt.Sprintf("(%s %s is taken for Flink's by %s.)", o.Kind, name, strings.Join(w.Signals.Names(), ", "))
}

func registerCommand(w flink.Workload, r Registry, platform string) string {
	return r.Command(w.Object.Namespace, platform)
}

// Command registers a Kubernetes namespace as a target of a platform namespace.
func (r Registry) Command(kubernetesNamespace, platformNamespace string) string {
	platformNamespace = shellSafe(platformNamespace, registry.DefaultNamespace)
	metadata := map[string]string{"name": kubernetesNamespace}
	target := map[string]any{"metadata": metadata, "spec": map[string]any{"kubernetes": map[string]string{"namespace": kubernetesNamespace}}}
	if r.InCluster {
		metadata["namespace"] = platformNamespace
		target["apiVersion"], target["kind"] = "drey.dev/v1", registry.DeploymentTarget
	}
	body, _ := json.Marshal(target) // strings only: it cannot fail
	if r.InCluster {
		return fmt.Sprintf("echo '%s' | kubectl apply -f -", body)
	}
	who := ""
	if r.AsksWho {
		who = ` -H "Authorization: Bearer $DREY_TOKEN"`
	}
	return fmt.Sprintf("curl -X POST %s/api/v1/namespaces/%s/deployment-targets%s -H 'Content-Type: application/json' -d '%s'",
		r.URL, platformNamespace, who, body)
}

// shellSafe returns a name that may be pasted into a shell. What an object
// says of itself has not been validated yet when it is admitted.
func shellSafe(name, otherwise string) string {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return otherwise
	}
	return name
}
