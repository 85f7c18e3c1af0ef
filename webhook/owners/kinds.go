package owners

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/webhook/flink"
)

// kind is a kind of object that can own a Flink workload.
type kind struct {
	flink.CustomResource
	custom        bool // one of flink.CustomResources
	clusterScoped bool
}

func builtIn(group, kindName, resource string) kind {
	return kind{CustomResource: flink.CustomResource{Kind: kindName, Group: group, Version: "v1", Resource: resource}}
}

var (
	deployments  = builtIn("apps", "Deployment", "deployments")
	statefulSets = builtIn("apps", "StatefulSet", "statefulsets")
	jobs         = builtIn("batch", "Job", "jobs")
	replicaSets  = builtIn("apps", "ReplicaSet", "replicasets")
	daemonSets   = builtIn("apps", "DaemonSet", "daemonsets")
)

// cachedKinds are the kinds with an informer.
var cachedKinds = func() []kind {
	all := []kind{deployments, statefulSets, jobs, builtIn("batch", "CronJob", "cronjobs")}
	for _, c := range flink.CustomResources {
		all = append(all, kind{CustomResource: c, custom: true})
	}
	return all
}()

// knownKinds are the kinds that need no discovery.
var knownKinds = slices.Concat(cachedKinds, []kind{replicaSets, daemonSets})

func isCached(ref flink.OwnerReference) bool {
	_, ok := kindIn(cachedKinds, ref)
	return ok
}

// hasRun reports whether the status of a built-in kind has a run: it is cached from whole
// objects, as custom resources are.
func (k kind) hasRun() bool { return k == deployments || k == statefulSets || k == jobs }

func (k kind) isCached() bool { return slices.Contains(cachedKinds, k) }

// kindIn returns the kind of an owner reference, of any version, among kinds.
func kindIn(kinds []kind, ref flink.OwnerReference) (kind, bool) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return kind{}, false
	}
	for _, k := range kinds {
		if k.Kind == ref.Kind && k.Group == gv.Group {
			return k, true
		}
	}
	return kind{}, false
}

func (k kind) apiVersion() string {
	return schema.GroupVersion{Group: k.Group, Version: k.Version}.String()
}

func (k kind) resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
}
