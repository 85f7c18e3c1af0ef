package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Occurrence is what happened to an object at a time: it was created, changed or deleted, or its
// state changed.
type Occurrence struct {
	ID      string // a UUID
	Kind    Kind
	Name    string // of the object
	Message string
	At      time.Time // UTC, to the millisecond

	DeploymentID string // empty for other kinds
	JobID        string // of a Deployment that began to run; empty if unknown
}

// History returns what happened in a platform namespace since this process started, the latest
// first, at most [MaxHistory]: to one Deployment, unless deploymentID is "", and in one job, unless
// jobID is "". Refused with [ReasonNotFound].
func (r *Registry) History(ctx context.Context, namespace, deploymentID, jobID string) ([]Occurrence, error) {
	if err := r.checkNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	return r.history.list(namespace, deploymentID, jobID), nil
}

// StateChanged records the state of the Deployment or SessionCluster with an id; "": of all. With an
// observer, states are recorded from the first StateChanged("") on, when the observer has synced.
func (r *Registry) StateChanged(id string) { r.history.stateChanged(id) }

// MaxHistory is the number of occurrences that are kept of a platform namespace.
const MaxHistory = 1000

// history records occurrences from the events of the store and of the observer. It keeps an entry
// of each Deployment and SessionCluster.
type history struct {
	observer Observer // nil: the states follow the specs
	now      func() time.Time

	mu       sync.Mutex
	begun    bool // the objects that the store had at the start are known
	observes bool // states are recorded
	tracked  map[string]*trackedObject
	recorded map[string][]Occurrence // by platform namespace, the latest last
}

// trackedObject is a Deployment or SessionCluster with its last state.
type trackedObject struct {
	key     Key
	desired State
	state   State
}

func newHistory(observer Observer, now func() time.Time) *history {
	return &history{observer: observer, now: now, observes: observer == nil, tracked: map[string]*trackedObject{}, recorded: map[string][]Occurrence{}}
}

// begin ends the initial lists of the store.
func (h *history) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun = true
}

var changes = map[Change]string{Added: "created", Modified: "changed", Deleted: "deleted"}

// observe records an event of the store.
func (h *history) observe(e Event) {
	o := e.Object
	isWorkload := o.Kind == Deployment || o.Kind == SessionCluster
	if !isWorkload && o.Kind != DeploymentTarget && o.Kind != Namespace {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.Kind == Namespace {
		if e.Change == Deleted {
			delete(h.recorded, o.Metadata.Name)
		}
		return
	}
	at := o.Metadata.ModifiedAt
	if e.Change == Deleted {
		at = h.now()
	}
	h.add(o.Key(), o.Metadata.ID, Occurrence{At: at, Message: fmt.Sprintf("%s %s %s", o.Kind, quote(o.Metadata.Name), changes[e.Change])},
		string(e.Change), strconv.Itoa(int(o.Metadata.ResourceVersion)))
	if !isWorkload {
		return
	}
	if e.Change == Deleted {
		delete(h.tracked, o.Metadata.ID)
		return
	}
	tracked := h.tracked[o.Metadata.ID]
	if tracked == nil {
		tracked = &trackedObject{}
		h.tracked[o.Metadata.ID] = tracked
	}
	tracked.key, tracked.desired = o.Key(), desiredState(o)
	h.recordState(o.Metadata.ID, tracked)
}

func (h *history) stateChanged(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id != "" {
		if tracked := h.tracked[id]; tracked != nil {
			h.recordState(id, tracked)
		}
		return
	}
	h.observes = true
	for id, tracked := range h.tracked {
		h.recordState(id, tracked)
	}
}

// recordState records the state of an object if it changed. The first one is that of its creation.
func (h *history) recordState(id string, tracked *trackedObject) {
	if !h.observes {
		return
	}
	observed := Observation{}
	switch {
	case h.observer != nil:
		observed = h.observer.Observe(tracked.key.Kind, id)
	case tracked.desired == Running:
		observed.State = Running
	}
	was := tracked.state
	tracked.state = stateOf(tracked.key.Kind, tracked.desired, observed.State)
	if was == "" || was == tracked.state {
		return
	}
	what := Occurrence{At: h.now(), Message: fmt.Sprintf("%s %s is %s, was %s", tracked.key.Kind, quote(tracked.key.Name), tracked.state, was)}
	if tracked.state == Running {
		what.JobID = observed.JobID
	}
	h.add(tracked.key, id, what, string(was), string(tracked.state), observed.Since.String())
}

// add appends an occurrence. It derives the id from the object and parts, so that replicas agree on
// it where they can.
func (h *history) add(key Key, objectID string, what Occurrence, parts ...string) {
	if !h.begun {
		return
	}
	what.Kind, what.Name, what.At = key.Kind, key.Name, what.At.UTC().Truncate(time.Millisecond)
	if key.Kind == Deployment {
		what.DeploymentID = objectID
	}
	what.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, objectID, parts)).String()
	all := h.recorded[key.Namespace]
	if slices.ContainsFunc(all, func(other Occurrence) bool { return other.ID == what.ID }) {
		what.ID = uuid.NewString()
	}
	if len(all) >= MaxHistory {
		all = slices.Delete(all, 0, len(all)-MaxHistory+1)
	}
	h.recorded[key.Namespace] = append(all, what)
}

func (h *history) list(namespace, deploymentID, jobID string) []Occurrence {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := []Occurrence{}
	for _, o := range slices.Backward(h.recorded[namespace]) {
		if (deploymentID == "" || o.DeploymentID == deploymentID) && (jobID == "" || o.JobID == jobID) {
			found = append(found, o)
		}
	}
	slices.SortStableFunc(found, func(a, b Occurrence) int { return cmp.Compare(b.At.UnixMilli(), a.At.UnixMilli()) })
	return found
}
