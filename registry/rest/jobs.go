package rest

import (
	"net/http"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
)

// Jobs are read only: they are what runs.

func (s *server) listJobs(r *http.Request) (answer, error) {
	query, err := readQuery(r)
	if err != nil {
		return answer{}, err
	}
	jobs, err := s.registry.Jobs(r.Context(), mux.Vars(r)["namespace"], query.Get("deploymentId"))
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: toList(registry.Job, jobs)}, nil
}

func (s *server) getJob(r *http.Request) (answer, error) {
	job, err := s.registry.GetJob(r.Context(), mux.Vars(r)["namespace"], mux.Vars(r)["id"])
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: toDocument(job)}, nil
}
