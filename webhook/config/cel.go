package config

import (
	"strconv"
	"strings"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// The conditions on labels and metadata. celflink.go has those on pods.

// celRelated holds for a Service or a ConfigMap that Flink, its operators or charts
// labeled. Others cannot be told from objects outside a Flink cluster.
var celRelated = anyOf(celFlinkLabels("object"), celMayHaveFlinkOwner)

// celRelabels holds for an update that changes or removes an identifying label of a pod
// that drey labeled (verdict.DecideUpdate).
var celRelabels = celIdentifying(`(!(k in ` + celNewLabels + `) || object.metadata.labels[k] != oldObject.metadata.labels[k])`)

// celLoses holds for an update that drops an identifying label (verdict.RemovedLabels).
var celLoses = celIdentifying(`!(k in ` + celNewLabels + `)`)

// celIdentifying holds for an object that drey labeled if each holds for the key k of one
// of its identifying labels. It looks the keys up, since an object may have any number of
// labels.
func celIdentifying(each string) string {
	keys := celList([]string{
		verdict.LabelKind, verdict.LabelSystem, verdict.LabelPlatformNamespace, verdict.LabelDeploymentID, verdict.LabelDeploymentName,
		verdict.LabelJobID, verdict.LabelSessionClusterID, verdict.LabelSessionClusterName, verdict.LabelApp,
	})
	apps := celList([]string{verdict.AppJob, verdict.AppSessionCluster})
	return `oldObject.metadata.?labels[?` + strconv.Quote(verdict.LabelSystem) + `].orValue("") == ` + strconv.Quote(verdict.System) + ` && ` +
		keys + `.exists(k, k in oldObject.metadata.labels && (k != ` + strconv.Quote(verdict.LabelApp) + ` || oldObject.metadata.labels[k] in ` + apps + `) && ` + each + `)`
}

// celClaims holds for an update that sets a label which assigns an object to a
// registered one (verdict.SetsIdentity).
var celClaims = celList([]string{verdict.LabelSystem, verdict.LabelPlatformNamespace, verdict.LabelDeploymentID, verdict.LabelSessionClusterID}) +
	`.exists(k, k in ` + celNewLabels + ` && (!(k in ` + celOldLabels + `) || object.metadata.labels[k] != oldObject.metadata.labels[k]))`

// celLabeled holds for an object with the system label that drey sets.
var celLabeled = celLabel("object", verdict.LabelSystem) + ` == ` + strconv.Quote(verdict.System)

// celStates holds for an object with the system label and an identity (verdict.SetsIdentity).
var celStates = allOf(celLabeled, celList([]string{verdict.LabelPlatformNamespace, verdict.LabelDeploymentID, verdict.LabelSessionClusterID})+`.exists(k, k in object.metadata.labels)`)

const (
	celNewLabels = `object.metadata.?labels.orValue({})`
	celOldLabels = `oldObject.metadata.?labels.orValue({})`

	celChangesLabels = celNewLabels + ` != ` + celOldLabels
)

// celChanges holds for an update that changes labels or, unless it updates a subresource,
// one of the fields. Most updates, such as a kubelet's status updates, change neither.
func celChanges(fields ...string) string {
	var changes []string
	for _, f := range fields {
		changes = append(changes, "object."+f+" != oldObject."+f)
	}
	return anyOf(celChangesLabels, allOf(`request.?subResource.orValue("") == ""`, anyOf(changes...)))
}

// celChangesPod holds for an update of a pod that changes an identifying label, claims one for a pod
// that drey labeled or that may run Flink, or makes the pod one that may. It states the longest
// condition once: the API server compiles an expression in the square of its length.
var celChangesPod = anyOf(celRelabels,
	allOf(celClaims, anyOf(celLabeled, celMayHaveFlinkOwner)),
	allOf(celFlinkPod("object"), anyOf(celClaims, "!"+celRunsFlinkPod("oldObject"))))

// celBecomesFlink holds for an update after which the pod at a CEL path below object may
// run Flink, unless the old one surely did.
func celBecomesFlink(path string) string {
	return allOf(celFlinkPod("object"+path), "!"+celRunsFlinkPod("oldObject"+path))
}

// celDecidesBy holds for the key k of a label that drey recognizes Flink or decides by.
var celDecidesBy = `k.startsWith(` + strconv.Quote(registry.Group+"/") + `) || k in ` + celList([]string{
	verdict.LabelApp, verdict.LabelSystem, verdict.LabelPlatformNamespace, verdict.LabelDeploymentID, verdict.LabelDeploymentName,
	verdict.LabelJobID, verdict.LabelSessionClusterID, verdict.LabelSessionClusterName,
	flink.LabelType, flink.LabelComponent, flink.LabelName, flink.LabelAppComponent, flink.LabelLyftApp, flink.LabelLyftType,
})

// celNotGarbageCollector excludes deletions by the namespace controller and the garbage
// collector, under their own ServiceAccounts or as the controller manager.
const celNotGarbageCollector = `!(request.userInfo.username in ["system:serviceaccount:kube-system:namespace-controller", ` +
	`"system:serviceaccount:kube-system:generic-garbage-collector", "system:kube-controller-manager"])`

// celNotTerminating excludes updates of terminating objects, so that finalizers can be
// removed.
const celNotTerminating = `!has(object.metadata.deletionTimestamp)`

// celChangesObject holds for all but an update of one of drey's own objects that leaves
// its spec and its stated id.
const celChangesObject = `request.operation != "UPDATE" || object.?spec.orValue({}) != oldObject.?spec.orValue({}) || ` +
	`object.metadata.?annotations[?"drey.dev/id"].orValue("") != oldObject.metadata.?annotations[?"drey.dev/id"].orValue("")`

// celGrowsMetadata holds for an update of one of drey's own objects by which its metadata may
// grow. Finalizers can be removed.
const celGrowsMetadata = `object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({}) || ` +
	celChangesLabels + ` || ` +
	`object.metadata.?ownerReferences.orValue([]) != oldObject.metadata.?ownerReferences.orValue([]) || ` +
	`size(object.metadata.?finalizers.orValue([])) > size(oldObject.metadata.?finalizers.orValue([]))`

// celNoController holds for an object without a controller, such as a ReplicaSet that no
// Deployment made.
var celNoController = `!` + allOf("!"+celManyOwners, `object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))`)

// celHasTemplate holds for a custom resource whose pod template has containers with
// names, which the other conditions require.
var celHasTemplate = `size(object.?spec.?template.?spec.?containers.orValue([])) > 0 && ` +
	anyOf(celManyContainers("object.spec.template"), `object.spec.template.spec.containers.all(c, has(c.name))`)

// celNotMirror excludes mirror pods of static pods, which the API server cannot change.
const celNotMirror = `!(object.kind == "Pod" && "kubernetes.io/config.mirror" in object.metadata.?annotations.orValue({}))`

// celLabel is the value of a label, or "".
func celLabel(object, key string) string {
	return object + `.?metadata.?labels[?` + strconv.Quote(key) + `].orValue("")`
}

func celList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return `[` + strings.Join(quoted, ", ") + `]`
}

func anyOf(alternatives ...string) string { return "(" + strings.Join(alternatives, " || ") + ")" }
func allOf(conditions ...string) string   { return "(" + strings.Join(conditions, " && ") + ")" }
