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

// RegisterHint selects the command in a denial that registers a target: with kubectl, if the
// registry is in the cluster, else over REST.
type RegisterHint struct {
	URL               string // of the REST API, such as http://127.0.0.1:8080
	NeedsToken        bool   // the REST API requires a token
	InCluster         bool   // targets are custom resources
	PlatformNamespace string // that of the target where none is labeled; empty: default
	CommandLine       bool   // print a command of drey instead of curl
	Contact           string // for users without the permission to register a target; may be empty
}

// Message returns the message of a denial, empty if the verdict is to allow: the namespace,
// the cause, the command that corrects it and, last because conditions and events truncate
// long messages, the signals by which the workload was recognized.
func (v Verdict) Message(hint RegisterHint) string {
	w := v.workload
	namespace := w.Object.Namespace
	switch v.Reason {
	case NoDeploymentTarget:
		return fmt.Sprintf("namespace %q has no DeploymentTarget, so Flink may not run there. Register it: %s ; %sor deploy to a namespace that has one. %s",
			namespace, v.Remedy(hint), hint.contactClause(), recognizedBy(w))
	case AmbiguousTarget:
		return fmt.Sprintf("namespace %q has DeploymentTargets of several platform namespaces: %s. Set the label %s of the pods to one of them: %s . %s",
			namespace, strings.Join(v.platform.candidates, ", "), LabelPlatformNamespace, v.remedy(), recognizedBy(w))
	case LabelConflict:
		return v.conflictMessage(hint)
	case LabelImmutable:
		return v.immutableMessage()
	}
	return ""
}

// Remedy returns the command in [Verdict.Message] that corrects a denial, empty if the verdict
// is to allow.
func (v Verdict) Remedy(hint RegisterHint) string {
	o := v.workload.Object
	switch {
	case v.Reason == NoDeploymentTarget:
		return hint.Command(o.Namespace, cmp.Or(platformLabel(v.workload), hint.PlatformNamespace))
	case v.Reason == LabelImmutable:
		return fmt.Sprintf("kubectl delete pod %s -n %s", shellSafe(o.Name, "NAME"), o.Namespace)
	case v.Reason == LabelConflict && !v.workload.Recognized():
		return fmt.Sprintf("kubectl label --local -f FILE %s- -o yaml", v.conflict.Key)
	case v.Reason == LabelConflict && v.isUpdate:
		return fmt.Sprintf("kubectl drey explain %s/%s -n %s", strings.ToLower(o.Kind), o.Name, o.Namespace)
	case v.Reason == LabelConflict, v.Reason == AmbiguousTarget:
		return v.remedy()
	}
	return ""
}

func (v Verdict) conflictMessage(hint RegisterHint) string {
	o, l := v.workload.Object, v.conflict
	cause := "that id belongs to another object"
	if l.Key == LabelPlatformNamespace {
		cause = "that platform namespace has no DeploymentTarget for the namespace"
	}
	switch {
	case !v.workload.Recognized():
		return fmt.Sprintf("%s in namespace %q may not have the label %s=%s: %s. Remove the label: %s",
			describe(o), o.Namespace, l.Key, l.Value, cause, v.Remedy(hint))
	case v.isUpdate:
		return fmt.Sprintf("%s in namespace %q may not get the label %s=%s: %s. Leave the label out, and drey sets it. To see its value: %s",
			describe(o), o.Namespace, l.Key, l.Value, cause, v.Remedy(hint))
	case l.Key == LabelPlatformNamespace:
		return fmt.Sprintf("in namespace %q the label %s is %q, and %s: only %s has one. Remove the label, and drey sets it: %s ; or register one: %s . %s",
			o.Namespace, l.Key, l.Value, cause, strings.Join(v.platform.candidates, ", "), v.remedy(), hint.Command(o.Namespace, l.Value), recognizedBy(v.workload))
	}
	return fmt.Sprintf("in namespace %q the label %s is %q, and %s. Remove the label, and drey sets it: %s . %s",
		o.Namespace, l.Key, l.Value, cause, v.remedy(), recognizedBy(v.workload))
}

func (v Verdict) immutableMessage() string {
	o := v.workload.Object
	var changes []string
	for _, l := range v.immutable {
		change := fmt.Sprintf("%s from %q to %q", l.Key, l.Value, o.Labels[l.Key])
		if _, ok := o.Labels[l.Key]; !ok {
			change = fmt.Sprintf("%s=%q (removed)", l.Key, l.Value)
		}
		changes = append(changes, change)
	}
	return fmt.Sprintf("the labels that identify a Flink pod are immutable, and this update of pod %q in namespace %q changes %s. "+
		"Keep the labels or, to get new ones, have its controller replace the pod: %s",
		o.Name, o.Namespace, strings.Join(changes, ", "), v.Remedy(RegisterHint{}))
}

// describe returns the kind and the quoted name of an object.
func describe(o *flink.Object) string {
	if o.Name == "" {
		return o.Kind + " " + strconv.Quote(o.GenerateName+"*")
	}
	return o.Kind + " " + strconv.Quote(o.Name)
}

func recognizedBy(w flink.Workload) string {
	return fmt.Sprintf("(%s is recognized as Flink by %s.)", describe(w.Object), strings.Join(w.Signals.Names(), ", "))
}

// contactClause refers users without the permission to register a target to the contact. It is
// empty without one.
func (hint RegisterHint) contactClause() string {
	if hint.Contact == "" {
		return ""
	}
	return "if you may not, ask " + hint.Contact + "; "
}

// Command returns the shell command that registers a target of a platform namespace for a
// Kubernetes namespace.
func (hint RegisterHint) Command(kubernetesNamespace, platformNamespace string) string {
	platformNamespace = shellSafe(platformNamespace, registry.DefaultNamespace)
	metadata := map[string]string{"name": kubernetesNamespace}
	target := map[string]any{"metadata": metadata, "spec": map[string]any{"kubernetes": map[string]string{"namespace": kubernetesNamespace}}}
	if hint.InCluster {
		metadata["namespace"] = platformNamespace
		target["apiVersion"], target["kind"] = registry.Group+"/v1", registry.DeploymentTarget
	}
	body, _ := json.Marshal(target) // strings only: it cannot fail
	if hint.InCluster {
		return fmt.Sprintf("echo '%s' | kubectl apply -f -", body)
	}
	if hint.CommandLine {
		name := shellSafe(kubernetesNamespace, "NAMESPACE")
		command := fmt.Sprintf("drey targets create %s --kubernetes-namespace %s --server %s", name, name, hint.URL)
		if platformNamespace != registry.DefaultNamespace {
			command += " --platform-namespace " + platformNamespace
		}
		return command
	}
	authHeader := ""
	if hint.NeedsToken {
		authHeader = ` -H "Authorization: Bearer $DREY_TOKEN"`
	}
	return fmt.Sprintf("curl -X POST %s/api/v1/namespaces/%s/deployment-targets%s -H 'Content-Type: application/json' -d '%s'",
		hint.URL, platformNamespace, authHeader, body)
}

// shellSafe returns a name that is safe in a shell command, or the replacement. The API server
// validates names after admission.
func shellSafe(name, replacement string) string {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return replacement
	}
	return name
}
