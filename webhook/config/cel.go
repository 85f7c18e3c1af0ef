package config

import "strings"

// celNeighbor holds for a Service or a ConfigMap of a Flink cluster: Flink, its
// operators and charts label theirs. Others are not told apart from what belongs to
// nobody's cluster.
var celNeighbor = anyOf(celFlinkLabels("object"), celMayHaveFlinkOwner)

// celRelabels holds for an update that changes or removes a label by which a pod
// is found, if drey has labeled the pod (verdict.DecideUpdate).
var celRelabels = celFirm(`(!(k in object.metadata.?labels.orValue({})) || object.metadata.labels[k] != oldObject.metadata.labels[k])`)

// celClaims holds for an update that sets a label which says whose a workload is, or
// has those that are there believed (verdict.SetsIdentity).
const celClaims = `["system", "vvpNamespace", "deploymentId", "sessionClusterId"].exists(k, k in object.metadata.?labels.orValue({}) && ` +
	`(!(k in oldObject.metadata.?labels.orValue({})) || object.metadata.labels[k] != oldObject.metadata.labels[k]))`

// celLabeled holds for what drey has labeled, or what says so.
var celLabeled = celLabel("object", "system") + ` == "ververica-platform"`

// celStates holds for an object that says that it is labeled by drey, and whose it is
// (verdict.SetsIdentity).
var celStates = allOf(celLabeled, `["vvpNamespace", "deploymentId", "sessionClusterId"].exists(k, k in object.metadata.labels)`)

// celBecomesFlink holds for an update by which the pod at a CEL path, below object and
// oldObject, may become Flink's: unless it surely was before.
func celBecomesFlink(path string) string {
	return allOf(celFlinkPod("object"+path), "!"+celRunsFlinkPod("oldObject"+path))
}

// celChangesLabels holds for an update that changes labels.
const celChangesLabels = `object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({})`

// celChanges holds for an update that changes labels or, not by a subresource, one of
// some fields: most updates, as a kubelet's of the status, end here.
func celChanges(fields ...string) string {
	var changes []string
	for _, f := range fields {
		changes = append(changes, "object."+f+" != oldObject."+f)
	}
	return anyOf(celChangesLabels, allOf(`request.?subResource.orValue("") == ""`, anyOf(changes...)))
}

// celDecidesBy holds for the key k of a label by which drey recognizes what is Flink's, or
// decides on it.
const celDecidesBy = `k.startsWith("drey.dev/") || k in ["app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName", ` +
	`"type", "component", "app.kubernetes.io/name", "app.kubernetes.io/component", "flink-app", "flink-deployment-type"]`

// celNotCluster holds for all but what empties a namespace that is being deleted,
// and what deletes objects whose owner is gone: under their own ServiceAccounts, or
// as the controller manager.
const celNotCluster = `!(request.userInfo.username in ["system:serviceaccount:kube-system:namespace-controller", ` +
	`"system:serviceaccount:kube-system:generic-garbage-collector", "system:kube-controller-manager"])`

// celChangesObject holds for an update of one of drey's own objects that changes its spec,
// the id that it states, or metadata by which it may grow. Finalizers can always be removed.
const celChangesObject = `request.operation != "UPDATE" || object.?spec.orValue({}) != oldObject.?spec.orValue({}) || ` +
	`object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({}) || ` +
	`object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({}) || ` +
	`object.metadata.?ownerReferences.orValue([]) != oldObject.metadata.?ownerReferences.orValue([]) || ` +
	`size(object.metadata.?finalizers.orValue([])) > size(oldObject.metadata.?finalizers.orValue([]))`

// celFirm holds for a key of what drey has labeled, by which drey knows it again and for
// which more holds. It looks these keys up: an object may have any number of labels.
func celFirm(holds string) string {
	return `oldObject.metadata.?labels[?"system"].orValue("") == "ververica-platform" && ` +
		`["drey.dev/app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName", "app"].exists(k, ` +
		`k in oldObject.metadata.labels && (k != "app" || oldObject.metadata.labels[k] in ["flink-job", "flink-session-cluster"]) && ` + holds + `)`
}

// celLoses holds for an update that forgets labels of what drey has labeled
// (verdict.RemovedLabels).
var celLoses = celFirm(`!(k in object.metadata.?labels.orValue({}))`)

// celNotControlled holds for what no controller has made, such as a ReplicaSet that is
// not a Deployment's.
var celNotControlled = `!` + allOf("!"+celManyOwners, `object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))`)

// celHasTemplate holds for a custom resource whose pod template has containers with
// names, as the other conditions need it: an object without one is not sent.
var celHasTemplate = `size(object.?spec.?template.?spec.?containers.orValue([])) > 0 && ` +
	anyOf(celManyContainers("object.spec.template"), `object.spec.template.spec.containers.all(c, has(c.name))`)

// celNotMirror holds for everything but the kubelet's mirrors of static pods,
// which nobody can change.
const celNotMirror = `!(object.kind == "Pod" && "kubernetes.io/config.mirror" in object.metadata.?annotations.orValue({}))`

func anyOf(alternatives ...string) string { return "(" + strings.Join(alternatives, " || ") + ")" }
func allOf(conditions ...string) string   { return "(" + strings.Join(conditions, " && ") + ")" }
