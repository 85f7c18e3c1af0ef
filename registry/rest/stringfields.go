package rest

import (
	"slices"

	"drey.dev/drey/registry/rest/yamljson"
)

// stringFields are the fields that Ververica Platform 2.x types as strings. Clients omit the quotes
// around values that look like numbers or booleans, such as flinkVersion: 1.20 in YAML; other
// clients cannot read objects in which such a field is no string.
var stringFields = yamljson.NewStrings(slices.Concat(
	[]string{"kind", "apiVersion", "name", "role", "roleBindings[].role", "roleBindings[].members[]"},
	under("metadata", "id", "name", "displayName", "namespace", "labels.*", "annotations.*"),
	under("spec", "kubernetes.namespace", // of a DeploymentTarget
		"state", "deploymentTargetName", "deploymentTargetId", "sessionClusterName", "upgradeStrategy.kind", "restoreStrategy.kind"),
	under("spec", runtimeFields...), // of a SessionCluster
	under("spec", imageFields...),
	under("spec.template.metadata", "labels.*", "annotations.*"),
	under("spec.template.spec", runtimeFields...),
	under("spec.template.spec.artifact", imageFields...),
	under("spec.template.spec.artifact", "kind", "versionName", "uri", "jarUri", "entryClass", "mainArgs", "sqlScript", "artifactImage",
		"pythonArtifactUri", "entryModule", "additionalDependencies[]", "additionalPythonLibraries[]", "additionalPythonArchives[]"),
)...)

var imageFields = []string{"flinkVersion", "flinkImageRegistry", "flinkImageRepository", "flinkImageTag", "flinkImagePullPolicy"}

// runtimeFields are those of the spec of a SessionCluster and of the template of a Deployment.
var runtimeFields = slices.Concat(
	[]string{"flinkConfiguration.*", "logging.loggingProfile", "logging.log4jLoggers.*", "logging.log4j2ConfigurationTemplate", "resources.*.memory", "kubernetes.labels.*"},
	under("kubernetes.pods", podFields...),
	under("kubernetes.jobManagerPodTemplate", templateFields...),
	under("kubernetes.taskManagerPodTemplate", templateFields...),
)

// podFields are the options for pods of Ververica Platform.
var podFields = []string{
	"labels.*", "annotations.*", "nodeSelector.*", "imagePullSecrets[].name",
	"envVars[].name", "envVars[].value", "envVars[].valueFrom.secretKeyRef.name", "envVars[].valueFrom.secretKeyRef.key",
	"tolerations[].key", "tolerations[].operator", "tolerations[].value", "tolerations[].effect",
	"volumeMounts[].name", "volumeMounts[].volume.name", "volumeMounts[].volumeMount.name", "volumeMounts[].volumeMount.mountPath", "volumeMounts[].volumeMount.subPath",
}

// templateFields are those of a pod template of Kubernetes.
var templateFields = []string{
	"metadata.labels.*", "metadata.annotations.*", "spec.nodeSelector.*", "spec.serviceAccountName", "spec.containers[].name", "spec.containers[].image",
	"spec.containers[].command[]", "spec.containers[].args[]", "spec.containers[].env[].name", "spec.containers[].env[].value",
	"spec.tolerations[].key", "spec.tolerations[].operator", "spec.tolerations[].value", "spec.tolerations[].effect",
}

// under returns paths below a path.
func under(path string, fields ...string) []string {
	all := make([]string, len(fields))
	for i, field := range fields {
		all[i] = path + "." + field
	}
	return all
}
