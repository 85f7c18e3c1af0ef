// Package config generates the API server's part of drey: the webhook configurations,
// their CEL match conditions, and the ValidatingAdmissionPolicies that hold while drey is
// down. It reaches no HTTP server and no client.
package config

import (
	"time"

	"drey.dev/drey/registry"
)

// Name is the name of both webhook configurations.
const Name = "drey"

// The webhooks, by the names that kubectl prints with a denial.
const (
	NameLabelPods            = "label-pods.drey.dev"
	NameLabelTypedPods       = "label-typed-pods.drey.dev" // those with Flink's label type
	NameLabelWorkloads       = "label-workloads.drey.dev"
	NameLabelRelated         = "label-related.drey.dev"
	NameLabelCustom          = "label-custom-resources.drey.dev"
	NameRestoreLabels        = "restore-labels.drey.dev"
	NameRegisteredLabel      = "registered-label.drey.dev"
	NameValidateWorkloads    = "workloads.drey.dev"
	NameValidateCronJobs     = "cronjobs.drey.dev"
	NameValidateReplicaSets  = "replicasets.drey.dev"
	NameValidateRollouts     = "rollouts.drey.dev"
	NameValidateOwned        = "owned-workloads.drey.dev"
	NameValidateOwnedLabels  = "owned-workload-labels.drey.dev"
	NameValidateCustom       = "custom-resources.drey.dev"
	NameValidatePodLabels    = "pod-labels.drey.dev"
	NameValidateLabels       = "workload-labels.drey.dev"
	NameValidateCustomLabels = "custom-resource-labels.drey.dev"
	NameValidateRegistry     = "registry.drey.dev"
	NameValidateMetadata     = "registry-metadata.drey.dev"
)

// The URL paths that the webhooks are served at, followed by a token.
const (
	PathLabelPods            = "/label/pods"
	PathLabelWorkloads       = "/label/workloads" // workloads, Services and ConfigMaps
	PathLabelCustom          = "/label/custom-resources"
	PathRestoreLabels        = "/label/restored"
	PathRegisteredLabel      = "/label/namespaces"
	PathValidateWorkloads    = "/validate/workloads"
	PathValidateCustom       = "/validate/custom-resources"
	PathValidatePodLabels    = "/validate/pod-labels"
	PathValidateLabels       = "/validate/labels" // workloads
	PathValidateCustomLabels = "/validate/custom-resource-labels"
	PathValidateRegistry     = "/validate/registry" // drey's own custom resources
)

// The names of the policies, and of their bindings.
const (
	PodPolicy             = "drey-gate"             // Flink pods need a registered namespace
	RegisteredLabelPolicy = "drey-registered-label" // only drey writes LabelRegistered
	ClaimPolicy           = "drey-claim"            // a target's creator can create pods in its namespace
	RepairPolicy          = "drey-repair"           // drey itself only adds its labels
)

// LabelRegistered is the label of a namespace that Flink may run in. Only drey can set
// it, so it records where a target exists or existed.
const LabelRegistered = registry.Group + "/registered"

// AnnotationContact is the annotation of a namespace that says whom to ask for a target, in
// one line. It precedes the contact of the installation.
const AnnotationContact = registry.Group + "/contact"

// MaxContact is the maximum size of a contact.
const MaxContact = 200

// The values of [LabelRegistered].
const (
	Registered = "true"     // the namespace has a target
	Draining   = "draining" // the last target is deleted, and admitted workloads still run
)

// SystemNamespaces are excluded from all webhooks, so that a cluster can start and
// recover while drey is down. Drey's own namespace is excluded too.
var SystemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease"}

// RolloutGroup is the API group of Argo Rollouts.
const RolloutGroup = "argoproj.io"

const (
	// Timeout bounds a call to any webhook but NameValidateRegistry. Drey answers well
	// within a millisecond.
	Timeout = 3 * time.Second

	// RegistryTimeout bounds a call to NameValidateRegistry, which reads from the API
	// server.
	RegistryTimeout = 10 * time.Second
)
