package webhook

import (
	"strconv"
	"strings"

	"drey.dev/drey/webhook/flink"
)

// The API server evaluates these CEL expressions before it calls drey: what is
// no Flink workload costs no call. They say the same as flink.Recognize; where
// they differ they let more pass, never less, and a test holds the two against
// each other.

// celFlink holds when the pod, or the template, at the CEL path pod shows
// enough of the signals that package flink knows: a strong one, or several of
// medium strength.
func celFlink(pod string) string {
	anyContainer := func(holds string) string { return pod + ".spec.containers.exists(c, " + holds + ")" }
	entryPoint := `(c.?command.orValue([]) + c.?args.orValue([])).exists(w, w.contains("kubernetes-jobmanager.sh") || w.contains("kubernetes-taskmanager.sh") || ` +
		`w.contains("org.apache.flink.") && ["` + strings.Join(flink.EntryClasses(), `", "`) + `"].exists(name, w.contains(name)))`
	const (
		roleContainer = `c.name in ` + celRoles
		roleArgs      = `[c.?args[?0].orValue(""), c.?command[?1].orValue("")].exists(w, w in ["jobmanager", "taskmanager", "standalone-job"])`
		flinkImage    = `c.?image.orValue("").matches("^([^@]*/)?flink(/|(:[^/@]*)?(@|$))")` // a segment of the repository, tag and digest apart
		flinkEnv      = `c.?env.orValue([]).exists(e, e.name in ["FLINK_MODE", "FLINK_PROPERTIES"])`
	)
	roleLabel := celLabel(pod, "component") + " in " + celRoles
	appRoleLabel := celLabel(pod, "app.kubernetes.io/component") + " in " + celRoles
	configVolume := pod + `.spec.?volumes.orValue([]).exists(v, v.name == "flink-config-volume")`

	return anyOf(
		celFlinkLabels(pod),
		celFlinkOwner,
		anyContainer(anyOf(`c.name == "flink-main-container"`, entryPoint)),
		allOf(roleLabel, anyContainer(anyOf(roleContainer, roleArgs, flinkImage))),
		allOf(anyOf(roleLabel, appRoleLabel, anyContainer(anyOf(roleContainer, roleArgs))), anyOf(anyContainer(flinkEnv), configVolume)),
		allOf(anyContainer(roleArgs), anyContainer(flinkImage)),
	)
}

// celFlinkLabels holds for labels that are enough alone.
func celFlinkLabels(object string) string {
	return anyOf(
		celLabel(object, "type")+` in ["flink-native-kubernetes", "flink-standalone-kubernetes"]`,
		allOf(celLabel(object, "system")+` == "ververica-platform"`, celLabel(object, "app")+` in ["flink-job", "flink-session-cluster"]`),
		allOf(celLabel(object, "flink-app")+` != ""`, celLabel(object, "flink-deployment-type")+` != ""`),
		allOf(celLabel(object, "app.kubernetes.io/name")+` == "flink"`, celLabel(object, "app.kubernetes.io/component")+" in "+celRoles),
	)
}

const celRoles = `["jobmanager", "taskmanager"]`

// celLabel is a label's value, "" if it is not there.
func celLabel(object, key string) string {
	return object + `.?metadata.?labels[?"` + key + `"].orValue("")`
}

// celFlinkOwner holds for what a custom resource of Flink's owns.
var celFlinkOwner = func() string {
	var known []string
	for _, c := range flink.CustomResources {
		known = append(known, strconv.Quote(c.Group+"/"+c.Kind))
	}
	return `object.metadata.?ownerReferences.orValue([]).exists(o, o.apiVersion.split("/")[0] + "/" + o.kind in [` + strings.Join(known, ", ") + `])`
}()

// celNeighbor holds for a Service or a ConfigMap of a Flink cluster: Flink, its
// operators and charts label theirs. Others are not told apart from what belongs to
// nobody's cluster.
var celNeighbor = anyOf(celFlinkLabels("object"), celFlinkOwner)

// celRelabels holds for an update that changes or removes a label by which a pod
// is found, if drey has labeled the pod (verdict.DecideUpdate).
const celRelabels = `oldObject.metadata.?labels[?"system"].orValue("") == "ververica-platform" && oldObject.metadata.labels.exists(k, ` +
	celFirm + ` && ` +
	`(!(k in object.metadata.?labels.orValue({})) || object.metadata.labels[k] != oldObject.metadata.labels[k]))`

// celClaims holds for an update that sets a label which says whose a workload is, or
// has those that are there believed (verdict.Claims).
const celClaims = `["system", "vvpNamespace", "deploymentId", "sessionClusterId"].exists(k, k in object.metadata.?labels.orValue({}) && ` +
	`(!(k in oldObject.metadata.?labels.orValue({})) || object.metadata.labels[k] != oldObject.metadata.labels[k]))`

// celLabeled holds for what drey has labeled, or what says so.
var celLabeled = celLabel("object", "system") + ` == "ververica-platform"`

// celNotCluster holds for all but what empties a namespace that is being deleted,
// and what deletes objects whose owner is gone: under their own ServiceAccounts, or
// as the controller manager.
const celNotCluster = `!(request.userInfo.username in ["system:serviceaccount:kube-system:namespace-controller", ` +
	`"system:serviceaccount:kube-system:generic-garbage-collector", "system:kube-controller-manager"])`

// celChangesObject holds for an update of one of drey's own objects that changes
// its spec or the id that it states.
const celChangesObject = `request.operation != "UPDATE" || object.?spec.orValue({}) != oldObject.?spec.orValue({}) || ` +
	`object.metadata.?annotations[?"drey.dev/id"].orValue("") != oldObject.metadata.?annotations[?"drey.dev/id"].orValue("")`

// celFirm holds for the keys by which drey knows again what it has labeled.
const celFirm = `(k in ["system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName"] || ` +
	`k == "app" && oldObject.metadata.labels[k] in ["flink-job", "flink-session-cluster"])`

// celLoses holds for an update that forgets labels of what drey has labeled
// (verdict.Lost).
const celLoses = `oldObject.metadata.?labels[?"system"].orValue("") == "ververica-platform" && oldObject.metadata.labels.exists(k, ` +
	celFirm + ` && !(k in object.metadata.?labels.orValue({})))`

// celNotOperator holds for everything but the pods of Flink's operator.
func celNotOperator(pod string) string {
	return pod + `.?metadata.?labels[?"app.kubernetes.io/name"].orValue("") != "flink-kubernetes-operator"`
}

// celNotMirror holds for everything but the kubelet's mirrors of static pods,
// which nobody can change.
const celNotMirror = `!("kubernetes.io/config.mirror" in object.metadata.?annotations.orValue({}))`

func anyOf(alternatives ...string) string { return "(" + strings.Join(alternatives, " || ") + ")" }
func allOf(conditions ...string) string   { return "(" + strings.Join(conditions, " && ") + ")" }
