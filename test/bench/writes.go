package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/tabwriter"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

// writers is the number of concurrent clients.
const writers = 64

// durableWrites compares creates, each durable before its response, with etcd's puts on the
// same disk.
func durableWrites(ctx context.Context, s registrySettings) (err error) {
	fmt.Printf("\nStarting drey and etcd, both empty and with fsync\n")
	dir := filepath.Join(s.dir, "writes")
	if err := fill(ctx, dir, 1, perNamespace); err != nil {
		return err
	}
	var m started
	d, err := startTimed(ctx, s.program, dir, &m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	e, err := startEtcd(ctx, filepath.Join(s.dir, "etcd"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	store, err := boltstore.Open(filepath.Join(s.dir, "store.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	var serial atomic.Int64
	next := func() string { return fmt.Sprintf("new-%09d", serial.Add(1)) }
	rows := []struct {
		name   string
		worker func() func() error
		pid    int
		found  []figures
	}{
		{name: "etcd, Put (gRPC)", worker: e.putter(next), pid: e.cmd.Process.Pid},
		{name: "drey, POST (REST)", worker: d.creator(next), pid: d.cmd.Process.Pid},
		{name: "boltstore, Create", pid: os.Getpid(), worker: func() func() error {
			return func() error {
				_, err := store.Create(ctx, registry.Object{Kind: registry.DeploymentTarget, Spec: targetSpec("team", "new"),
					Metadata: registry.Metadata{ID: next(), Namespace: "team", Name: next()}})
				return err
			}
		}},
	}
	for round := range s.rounds {
		for i := range rows {
			f, err := measure(ctx, writers, s.each, rows[i].worker)
			if err != nil {
				return fmt.Errorf("%s: %w", rows[i].name, err)
			}
			rows[i].found = append(rows[i].found, f)
		}
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, s.rounds)
	}
	fmt.Printf("\nDurable creates, %d clients, medians of %d alternating rounds of %s:\n\n", writers, s.rounds, s.each)
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "writes\tcreates/s\tp50\tp99\tRSS\t")
	for _, row := range rows {
		memory, err := processMemory(row.pid)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%.0f MiB\t\n", row.name, middle(row.found).columns(), memory["VmRSS"])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Printf("\nGoal: drey/etcd at least 1.00; got %.2f. The clients share the CPUs.\n",
		middle(rows[1].found).perSecond/middle(rows[0].found).perSecond)
	return nil
}

// creator returns workers that create targets over REST.
func (p *process) creator(next func() string) func() func() error {
	return func() func() error {
		client := &http.Client{Transport: &http.Transport{}}
		return func() error {
			name := next()
			body := fmt.Sprintf(`{"metadata":{"name":%q},"spec":%s}`, name, targetSpec("team", name))
			request, err := http.NewRequest(http.MethodPost, p.url+targetsPath(0), strings.NewReader(body))
			if err != nil {
				return err
			}
			request.Header.Set("Content-Type", "application/json")
			return roundTrip(client, request, http.StatusCreated)
		}
	}
}

// startEtcd starts etcd with its defaults, without TLS like drey.
func startEtcd(ctx context.Context, dir string) (*process, error) {
	programs, err := cluster.Binaries(ctx, os.Stdout)
	if err != nil {
		return nil, err
	}
	addresses, err := drey.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	client, peer := addresses[0], addresses[1]
	p, err := startProcess(ctx, "http://"+client, filepath.Join(programs, "etcd"), "--name=bench", "--data-dir="+dir, "--log-level=warn",
		"--listen-client-urls=http://"+client, "--advertise-client-urls=http://"+client, "--listen-peer-urls=http://"+peer,
		"--initial-advertise-peer-urls=http://"+peer, "--initial-cluster=bench=http://"+peer)
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, p.url+"/health")
}

// putter returns workers that put keys over gRPC, written by hand to keep etcd's client out
// of go.mod. The values are no longer than drey's objects.
func (p *process) putter(next func() string) func() func() error {
	value := bytes.Repeat([]byte("x"), 300)
	return func() func() error {
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
		return func() error {
			message := appendField(appendField(nil, 1, []byte("/registry/team/"+next())), 2, value)
			frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
			request, err := http.NewRequest(http.MethodPost, p.url+"/etcdserverpb.KV/Put", bytes.NewReader(frame))
			if err != nil {
				return err
			}
			request.Header.Set("Content-Type", "application/grpc")
			request.Header.Set("TE", "trailers")
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				return err
			}
			if status := response.Trailer.Get("Grpc-Status"); status != "0" {
				return fmt.Errorf("etcd: got gRPC status %q: %s", status, response.Trailer.Get("Grpc-Message"))
			}
			return nil
		}
	}
}

// appendField appends a protobuf field of bytes.
func appendField(to []byte, number int, value []byte) []byte {
	to = binary.AppendUvarint(to, uint64(number)<<3|2)
	return append(binary.AppendUvarint(to, uint64(len(value))), value...)
}
