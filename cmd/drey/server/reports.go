package server

import (
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/webhook/controllers/reports"
)

// newReports returns the controller of the reports for policy tools.
func (s *server) newReports() (*reports.Writer, error) {
	config := rest.CopyConfig(s.cluster)
	config.QPS, config.Burst = 20, 40
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return reports.New(reports.Options{
		Client: client, Inventory: s.inventory, Denials: s.denials, APIVersion: func(kind string) string { return apiVersions[kind] }, Log: s.log,
	}), nil
}
