package webhook

import (
	"errors"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/webhook/flink"
)

// These types have the fields of objects that drey reads. Decoding the types of k8s.io/api
// costs many times as much: a pod has hundreds of fields, and ten of them matter.

type metadata struct {
	Name            string            `json:"name"`
	GenerateName    string            `json:"generateName"`
	UID             string            `json:"uid"`
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	OwnerReferences []ownerReference  `json:"ownerReferences"`
	Deletion        string            `json:"deletionTimestamp"` // empty unless terminating
	ManagedFields   []manager         `json:"managedFields"`

	owners []flink.OwnerReference // of the object that object returns
}

type manager struct {
	Manager string `json:"manager"`
}

// fromManifest reports whether a tool that applies manifests wrote the object, such as kubectl
// or a GitOps controller, rather than Flink's client or an operator.
func (m *metadata) fromManifest() bool {
	if _, applied := m.Annotations["kubectl.kubernetes.io/last-applied-configuration"]; applied {
		return true
	}
	return slices.ContainsFunc(m.ManagedFields, func(by manager) bool {
		return slices.ContainsFunc([]string{"kubectl", "helm", "argocd", "kustomize"}, func(tool string) bool { return strings.HasPrefix(strings.ToLower(by.Manager), tool) })
	})
}

type ownerReference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

type podSpec struct {
	Containers     []container `json:"containers"`
	InitContainers []container `json:"initContainers"`
	Volumes        []named     `json:"volumes"`
}

type container struct {
	Name    string    `json:"name"`
	Image   string    `json:"image"`
	Command []string  `json:"command"`
	Args    []string  `json:"args"`
	Env     variables `json:"env"`

	RestartPolicy string `json:"restartPolicy"` // of an init container; Always: a native sidecar
}

type named struct {
	Name string `json:"name"`
}

// variables are the environment variables of a container if recognition may read one of them.
// They are most of a large pod, so the text is searched before it is decoded.
type variables []variable

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var imageVariables = flink.ImageVariables()

// readVariables are parts of the variables that recognition reads, in JSON.
var readVariables = append([]string{
	"FLINK_", `"ROLE"`, ".sh", "org.apache.flink.", "manager", "standalone-job", "job-cluster", `\u`,
}, imageVariables...)

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (v *variables) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil || !containsAny(value, readVariables...) {
		return err
	}
	err = jsonv2.Unmarshal(value, (*[]variable)(v), decodeOptions)
	if semantic, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		semantic.JSONPointer = d.StackPointer() + semantic.JSONPointer
	}
	return err
}

// pod is a Pod or a pod template.
type pod struct {
	Metadata metadata `json:"metadata"`
	Spec     podSpec  `json:"spec"`

	// The memory of what recognize and template return.
	object        flink.Object
	containers    []flink.Container
	volumes, envs []string
}

func (p *pod) meta() *metadata      { return &p.Metadata }
func (w *workload) meta() *metadata { return &w.Metadata }
func (c *custom) meta() *metadata   { return &c.Metadata }

func (p *pod) recognize(r *request[pod]) flink.Workload {
	o := &p.object
	*o = p.Metadata.object("Pod", r.Namespace)
	o.Pod = p.template()
	return flink.Recognize(o)
}

// workload is a Deployment, a StatefulSet, a Job or a CronJob; or a Service or a ConfigMap,
// whose labels stand for those of the cluster's pods.
type workload struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Template    pod `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template pod `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"` // of a CronJob
	} `json:"spec"`
}

func (w *workload) recognize(r *request[workload]) flink.Workload {
	o := w.Metadata.object(r.Kind.Kind, r.Namespace)
	switch r.Kind.Kind {
	case "Service", "ConfigMap":
		o.Pod.Labels = o.Labels
	case "CronJob":
		o.Pod = w.Spec.JobTemplate.Spec.Template.template()
	default:
		o.Pod = w.Spec.Template.template()
	}
	return flink.Recognize(&o)
}

// custom is a custom resource of Flink's. Mutating webhooks run before schema validation, so
// fields of another type are skipped.
type custom struct {
	Metadata metadata       `json:"metadata"`
	Spec     jsontext.Value `json:"spec"`
}

func (c *custom) recognize(r *request[custom]) flink.Workload {
	o := c.Metadata.object(r.Kind.Kind, r.Namespace)
	var spec map[string]any
	_ = jsonv2.Unmarshal(c.Spec, &spec, decodeOptions) // an invalid spec is empty
	object := map[string]any{"metadata": map[string]any{"labels": anyOfStrings(o.Labels)}, "spec": spec}
	o.Pod, o.PodLabelFields = flink.JobManagerPod(o.Kind, object), flink.PodLabelFields(o.Kind, object)
	template, _ := spec["template"].(map[string]any)
	inner, _ := template["spec"].(map[string]any) // of a FlinkBlueGreenDeployment
	return flink.RecognizeCustom(&o, flink.ModeOf(o.Kind, spec["job"] != nil || inner["job"] != nil))
}

func anyOfStrings(labels map[string]string) map[string]any {
	all := make(map[string]any, len(labels))
	for key, value := range labels {
		all[key] = value
	}
	return all
}

// object returns the metadata with the namespace of the request, which the object may lack. It
// is valid until the metadata changes.
func (m *metadata) object(kind, namespace string) flink.Object {
	m.owners = m.owners[:0]
	for _, r := range m.OwnerReferences {
		m.owners = append(m.owners, flink.OwnerReference(r))
	}
	return flink.Object{
		Kind: kind, Namespace: namespace, Name: m.Name, GenerateName: m.GenerateName, UID: m.UID,
		Labels: m.Labels, Annotations: m.Annotations, OwnerReferences: m.owners, FromManifest: m.fromManifest(),
	}
}

// template returns the part of the pod that recognition reads. It is valid until the pod changes.
func (p *pod) template() flink.Pod {
	p.containers, p.volumes, p.envs = p.containers[:0], p.volumes[:0], p.envs[:0]
	p.containers = slices.Grow(p.containers, len(p.Spec.Containers))
	for i := range p.Spec.Containers {
		p.containers = append(p.containers, p.container(&p.Spec.Containers[i]))
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; c.RestartPolicy == flink.RestartAlways {
			sidecar := p.container(c)
			sidecar.Sidecar = true
			p.containers = append(p.containers, sidecar)
		}
	}
	for _, v := range p.Spec.Volumes {
		p.volumes = append(p.volumes, v.Name)
	}
	return flink.Pod{Labels: p.Metadata.Labels, Annotations: p.Metadata.Annotations, Containers: p.containers, Volumes: p.volumes}
}

func (p *pod) container(c *container) flink.Container {
	from := len(p.envs)
	all := flink.Container{Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args}
	for _, v := range c.Env {
		p.envs = append(p.envs, v.Name)
		all.ReadVariable(v.Name, v.Value)
	}
	all.Env = p.envs[from:len(p.envs):len(p.envs)]
	return all
}
