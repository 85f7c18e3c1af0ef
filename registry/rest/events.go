package rest

import (
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
)

// event is what happened to an object, as Ververica Platform shows it.
type event struct {
	Kind       string        `json:"kind"`
	APIVersion string        `json:"apiVersion"`
	Metadata   eventMetadata `json:"metadata"`
	Spec       eventSpec     `json:"spec"`
}

type eventMetadata struct {
	ID              string    `json:"id"`
	Name            string    `json:"name"` // of the object
	Namespace       string    `json:"namespace"`
	CreatedAt       time.Time `json:"createdAt"`
	DeploymentID    string    `json:"deploymentId,omitempty"`
	JobID           string    `json:"jobId,omitempty"`
	ResourceVersion int32     `json:"resourceVersion"`
}

type eventSpec struct {
	Message string `json:"message"`
}

type eventList struct {
	Kind       string       `json:"kind"`
	APIVersion string       `json:"apiVersion"`
	Metadata   listMetadata `json:"metadata"`
	Items      []event      `json:"items"` // never null
}

func (s *server) listEvents(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	namespace := mux.Vars(r)["namespace"]
	all, err := s.registry.History(r.Context(), namespace, query.Get("deploymentId"), query.Get("jobId"))
	if err != nil {
		return response{}, err
	}
	list := eventList{Kind: "EventList", APIVersion: apiVersion, Items: make([]event, len(all))}
	for i, o := range all {
		list.Items[i] = toEvent(namespace, o)
	}
	return response{status: http.StatusOK, body: list}, nil
}

func toEvent(namespace string, o registry.Occurrence) event {
	return event{
		Kind: "Event", APIVersion: apiVersion,
		Metadata: eventMetadata{ID: o.ID, Name: o.Name, Namespace: namespace, CreatedAt: o.At, DeploymentID: o.DeploymentID, JobID: o.JobID, ResourceVersion: 1},
		Spec:     eventSpec{Message: o.Message},
	}
}
