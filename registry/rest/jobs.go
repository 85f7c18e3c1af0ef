package rest

import (
	"net/http"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
)

func (s *server) listJobs(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	jobs, err := s.registry.Jobs(r.Context(), mux.Vars(r)["namespace"], query.Get("deploymentId"))
	if err != nil {
		return response{}, err
	}
	return response{status: http.StatusOK, body: s.toList(registry.Job, jobs)}, nil
}

func (s *server) getJob(r *http.Request) (response, error) {
	job, err := s.registry.GetJob(r.Context(), mux.Vars(r)["namespace"], mux.Vars(r)["id"])
	if err != nil {
		return response{}, err
	}
	return response{status: http.StatusOK, body: s.toDocument(job)}, nil
}
