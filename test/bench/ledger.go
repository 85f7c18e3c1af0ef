package main

import (
	"context"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/test/framework/cluster"
)

// ledger has the time that the API server reports for creations of pods, by row.
type ledger map[string]time.Duration

// The rows of a ledger: the whole request, and its parts.
const (
	rowRequest    = "whole request"
	rowConditions = "match conditions that do not hold"
	rowPolicies   = "mutating policies in CEL"
	rowCall       = "call of the webhook"
	rowHandler    = "in it, handler of drey"
	rowRest       = "rest: conversion of the pod, patch, second pass"
)

var ledgerRows = []string{rowRequest, rowConditions, rowPolicies, rowCall, rowHandler, rowRest}

// ledgerSources are the histograms of a row, with a part of their labels.
var ledgerSources = []struct{ row, metric, label string }{
	{rowRequest, "apiserver_request_duration_seconds_sum", `resource="pods"`},
	{rowConditions, "apiserver_admission_match_condition_evaluation_seconds_sum", ""},
	{rowPolicies, "apiserver_mutating_admission_policy_check_duration_seconds_sum", ""},
	{rowCall, "apiserver_admission_webhook_admission_duration_seconds_sum", ""},
	{rowHandler, "drey_admission_duration_seconds_sum", ""},
}

// readLedger reads the metrics of the API server and of a drey, both since their start. metrics
// is the URL of drey's.
func readLedger(ctx context.Context, c *cluster.Cluster, metrics string) (ledger, error) {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return nil, err
	}
	text, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	all := []map[string]float64{samples(text)}
	if metrics != "" {
		found, err := scrape(metrics)
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	l := ledger{}
	for _, found := range all {
		for name, value := range found {
			for _, s := range ledgerSources {
				if strings.HasPrefix(name, s.metric+"{") && strings.Contains(name, s.label) {
					l[s.row] += time.Duration(value * float64(time.Second))
				}
			}
		}
	}
	return l, nil
}

// perRequest returns what was spent after an earlier ledger, for each of some requests.
func (l ledger) perRequest(earlier ledger, requests int) ledger {
	per := ledger{}
	for _, row := range ledgerRows {
		per[row] = (l[row] - earlier[row]) / time.Duration(requests)
	}
	return per
}

// added returns a ledger without what a request takes without admission. The rest is what no
// metric of the API server names.
func (l ledger) added(none ledger) ledger {
	a := ledger{}
	for _, row := range ledgerRows {
		a[row] = l[row] - none[row]
	}
	a[rowRest] = a[rowRequest] - a[rowConditions] - a[rowPolicies] - a[rowCall]
	return a
}

// middleLedger returns the median of each row.
func middleLedger(rounds []ledger) ledger {
	m := ledger{}
	for _, row := range ledgerRows {
		m[row] = median(rounds, func(l ledger) time.Duration { return l[row] })
	}
	return m
}
