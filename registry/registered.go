package registry

import jsonv2 "github.com/go-json-experiment/json"

// Registered is a [Deployment] or [SessionCluster] of the registry, as
// admission sees it.
type Registered struct {
	Kind              Kind
	PlatformNamespace string
	Name              string
	DisplayName       string // empty if it has none
	ID                string

	targetName, targetID string // where it runs, by one or the other; both empty if it does not say
}

// Label is the value of the label that names it: its name or, if that was made
// from free text, as older clients send it, what that text makes.
func (r Registered) Label() string { return LabelValue(r.Name) }

// ByID returns the Deployment or SessionCluster with an id, wherever it is.
func (x *Index) ByID(id string) (Registered, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	key, ok := x.keyByID[id]
	if !ok {
		return Registered{}, false
	}
	return x.registered[key], true
}

// Linked returns the Deployment or SessionCluster, as kind says, of a platform
// namespace that a workload in a Kubernetes namespace is a run of: the one whose
// id or name is stated or, if nothing is, the one of its name. One that is
// registered for another Kubernetes namespace is not it.
func (x *Index) Linked(kind Kind, platformNamespace, kubernetesNamespace, stated, name string) (Registered, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.registered) == 0 {
		return Registered{}, false
	}
	key := Key{kind, platformNamespace, stated}
	if byID, ok := x.keyByID[stated]; ok && byID.Kind == kind && byID.Namespace == platformNamespace {
		key = byID
	}
	if stated == "" {
		key.Name = LabelValue(name)
	}
	r, ok := x.registered[key]
	if !ok || !x.runsIn(r, kubernetesNamespace, stated != "") {
		return Registered{}, false
	}
	return r, true
}

// runsIn tells whether a registered object runs in a Kubernetes namespace. One
// that names no target may run wherever it is stated.
func (x *Index) runsIn(r Registered, kubernetesNamespace string, stated bool) bool {
	if r.targetName == "" && r.targetID == "" {
		return stated
	}
	return x.pointsAt(r.PlatformNamespace, r.targetName, r.targetID, kubernetesNamespace)
}

// observeRegistered keeps what [Index.Linked] answers from.
func (x *Index) observeRegistered(e Event) {
	key := e.Object.Key()
	if id := x.registered[key].ID; x.keyByID[id] == key { // else another has it by now
		delete(x.keyByID, id)
	}
	delete(x.registered, key)
	if e.Change == Deleted {
		return
	}
	m := e.Object.Metadata
	var spec struct {
		TargetName string `json:"deploymentTargetName"`
		TargetID   string `json:"deploymentTargetId"`
	}
	_ = jsonv2.Unmarshal(e.Object.Spec, &spec) // it was read when it was kept
	x.registered[key] = Registered{
		Kind: key.Kind, PlatformNamespace: key.Namespace, Name: key.Name, DisplayName: m.DisplayName, ID: m.ID, targetName: spec.TargetName, targetID: spec.TargetID,
	}
	x.keyByID[m.ID] = key
}
