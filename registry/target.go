package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
)

// TargetSpec is the spec of a [DeploymentTarget].
type TargetSpec struct {
	Kubernetes *TargetKubernetes `json:"kubernetes"`
}

// TargetKubernetes says where in the cluster a target points.
type TargetKubernetes struct {
	// Namespace is the Kubernetes namespace. Empty means the one that drey
	// itself runs in.
	Namespace string `json:"namespace,omitempty"`
}

// Target is a [DeploymentTarget] as admission sees it.
type Target struct {
	PlatformNamespace string
	Name              string
	ID                string
}

// String is how messages name a target.
func (t Target) String() string { return t.PlatformNamespace + "/" + t.Name }

// parseTargetSpec reads the spec of a target. A field it does not know is an
// error: a misspelled namespace would silently mean drey's own.
func parseTargetSpec(raw json.RawMessage) (TargetSpec, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err == nil {
		if _, ok := members["deploymentPatchSet"]; ok {
			return TargetSpec{}, refuse(ReasonInvalidSpec,
				"spec.deploymentPatchSet existed in Ververica Platform 2.0 only: remove it, and set the values in the Deployments or in the platform's defaults")
		}
	}
	var spec TargetSpec
	if len(raw) == 0 || string(raw) == "null" {
		return spec, refuse(ReasonInvalidSpec, `spec is missing: a DeploymentTarget needs "spec": {"kubernetes": {"namespace": "NAME"}}`)
	}
	if err := jsonv2.Unmarshal(raw, &spec, jsonv2.RejectUnknownMembers(true)); err != nil {
		return spec, refuse(ReasonInvalidSpec, "%s", describeSpecError(err))
	}
	if spec.Kubernetes == nil {
		return spec, refuse(ReasonInvalidSpec, `spec.kubernetes is missing: a DeploymentTarget needs "spec": {"kubernetes": {"namespace": "NAME"}}`)
	}
	if ns := spec.Kubernetes.Namespace; ns != "" && !checkNamespaceName(ns) {
		return spec, refuse(ReasonInvalidSpec,
			"spec.kubernetes.namespace: %s is not the name of a Kubernetes namespace: use 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end", quote(ns))
	}
	return spec, nil
}

// describeSpecError says where below spec the decoder stopped, in the dotted
// form that the rest of the API's messages use.
func describeSpecError(err error) string {
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		path := "spec" + strings.ReplaceAll(string(e.JSONPointer), "/", ".")
		if errors.Is(err, jsonv2.ErrUnknownName) {
			return fmt.Sprintf("%s is not a field of a DeploymentTarget: its spec has kubernetes.namespace and nothing else", path)
		}
		want := "an object"
		if e.GoType != nil && e.GoType.Kind().String() == "string" {
			want = "a string"
		}
		return fmt.Sprintf("%s is not %s", path, want)
	}
	return fmt.Sprintf("spec is not readable: %v", err)
}

// quote prints a name that may be anything, cut short.
func quote(name string) string {
	const most = 80
	if len(name) > most {
		return strconv.Quote(name[:most]) + "..."
	}
	return strconv.Quote(name)
}
