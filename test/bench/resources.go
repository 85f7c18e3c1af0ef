package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/cluster"
)

// definition is the CRD of the compared objects.
const definition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"targets.bench.drey.dev"},
"spec":{"group":"bench.drey.dev","scope":"Namespaced","names":{"plural":"targets","singular":"target","kind":"Target"},
"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object",
"properties":{"kubernetes":{"type":"object","properties":{"namespace":{"type":"string"}}}}}}}}}]}}`

// besideAPIServer compares reads from drey with reads of custom resources from the API
// server.
func besideAPIServer(ctx context.Context, s registrySettings) (err error) {
	namespaces := max(s.compared/perNamespace, 1)
	fmt.Printf("\nStarting a control plane, and creating %d targets in %d namespaces in both\n", namespaces*perNamespace, namespaces)
	c, err := cluster.New(ctx, cluster.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	api := c.Config()
	if err := createResources(ctx, api, namespaces); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "compared")
	if err := fill(ctx, dir, namespaces, perNamespace); err != nil {
		return err
	}
	var m started
	d, err := startTimed(ctx, s.program, dir, &m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()

	resource := func(path func() string) func() func() error {
		return func() func() error {
			client, err := ownClient(api)
			return func() error {
				if err != nil {
					return err
				}
				return get(ctx, client, api.Host+path())
			}
		}
	}
	one := func() string {
		return resourcesPath(rand.IntN(namespaces)) + fmt.Sprintf("/target-%04d", rand.IntN(perNamespace))
	}
	list := func() string { return resourcesPath(rand.IntN(namespaces)) }
	rows := []struct {
		name   string
		worker func() func() error
		found  []figures
	}{
		{name: "GET, kube-apiserver", worker: resource(one)},
		{name: "GET, drey", worker: d.reader(func() string { return targetPath(rand.IntN(namespaces), rand.IntN(perNamespace)) })},
		{name: "LIST of 100, kube-apiserver", worker: resource(list)},
		{name: "LIST of 100 with resourceVersion=0, kube-apiserver", worker: resource(func() string { return list() + "?resourceVersion=0" })},
		{name: "LIST of 100, drey", worker: d.reader(func() string { return targetsPath(rand.IntN(namespaces)) })},
	}
	for round := range s.rounds {
		for i := range rows {
			f, err := measure(ctx, 8, s.each, rows[i].worker)
			if err != nil {
				return fmt.Errorf("%s: %w", rows[i].name, err)
			}
			rows[i].found = append(rows[i].found, f)
		}
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, s.rounds)
	}
	fmt.Printf("\nReads among %d objects, 8 connections, medians of %d alternating rounds of %s:\n\n", namespaces*perNamespace, s.rounds, s.each)
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "call\tcalls/s\tp50\tp99\t")
	for _, row := range rows {
		fmt.Fprintf(table, "%s\t%s\t\n", row.name, middle(row.found).columns())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		pid  int
	}{{"drey", d.cmd.Process.Pid}, {"kube-apiserver", c.PID(cluster.APIServer)}, {"etcd", c.PID(cluster.Etcd)}} {
		memory, err := processMemory(p.pid)
		if err != nil {
			return err
		}
		fmt.Printf("%s: RSS %.0f MiB, peak %.0f MiB\n", p.name, memory["VmRSS"], memory["VmHWM"])
	}
	fmt.Println("The API server uses TLS and authorization; this drey, on loopback, uses neither.")
	return nil
}

func resourcesPath(i int) string {
	return "/apis/bench.drey.dev/v1/namespaces/" + platformNamespace(i) + "/targets"
}

// ownClient returns a client of the API server with its own connection, over HTTP/1.1 like
// drey's clients.
func ownClient(config *rest.Config) (*http.Client, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	tls.NextProtos = []string{"http/1.1"}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: tls}}, nil
}

// createResources creates the CRD, namespaces and custom resources.
func createResources(ctx context.Context, config *rest.Config, namespaces int) error {
	client, err := ownClient(config)
	if err != nil {
		return err
	}
	if err := post(ctx, client, config.Host+"/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition); err != nil {
		return err
	}
	for i := range namespaces {
		if err := post(ctx, client, config.Host+"/api/v1/namespaces", fmt.Sprintf(`{"metadata":{"name":%q}}`, platformNamespace(i))); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err = get(ctx, client, config.Host+resourcesPath(0)); err == nil {
			break
		} else if time.Now().After(deadline) {
			return err
		}
	}
	var next atomic.Int64
	failed := make(chan error, 32)
	for range cap(failed) {
		go func() {
			client, err := ownClient(config)
			for i := int(next.Add(1)) - 1; err == nil && i < namespaces*perNamespace; i = int(next.Add(1)) - 1 {
				namespace, name := platformNamespace(i/perNamespace), fmt.Sprintf("target-%04d", i%perNamespace)
				err = post(ctx, client, config.Host+resourcesPath(i/perNamespace), fmt.Sprintf(
					`{"apiVersion":"bench.drey.dev/v1","kind":"Target","metadata":{"name":%q,"labels":{"team":%q}},"spec":%s}`, name, namespace, targetSpec(namespace, name)))
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		err = errors.Join(err, <-failed)
	}
	return err
}

func post(ctx context.Context, client *http.Client, url, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	return roundTrip(client, request, http.StatusCreated)
}
