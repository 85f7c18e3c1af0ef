// Package observe implements the commands workloads, usage and denials.
package observe

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry/rest/yamljson"
)

// Commands returns the commands.
func Commands() []*cobra.Command {
	return []*cobra.Command{newWorkloadsCommand(), newUsageCommand(), newDenialsCommand()}
}

// observer reads workloads, usage and denials: over REST, or from the cluster with the user's
// permissions.
type observer interface {
	workloads(context.Context, inventory.Query) (inventory.Page, error)
	usage(context.Context, inventory.GroupBy, inventory.Filter) ([]inventory.Total, error)
	denials(context.Context, denials.Query) (denials.Page, error)

	// watch calls f with each change until ctx ends. Exactly one of its arguments is not nil. It
	// calls list when it is connected, and when it is again: changes before that are missed.
	watch(ctx context.Context, list func(context.Context) error, f func(*inventory.Change, *denials.Change) error) error
}

// observeFlags are the flags that the commands about workloads and denials share.
type observeFlags struct {
	client    client.Client
	namespace string
	all       bool
	target    string
	format    output.Format
	watch     bool
	warnings  io.Writer
}

// bind adds the flags to a command. The first format is the default.
func (o *observeFlags) bind(cmd *cobra.Command, formats ...output.Format) {
	o.client.BindServer(cmd)
	o.client.BindRun(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.namespace, "namespace", "n", "", "Kubernetes namespace (default: all or, with --server "+client.InCluster+", that of kubectl's context)")
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "all Kubernetes namespaces")
	f.StringVar(&o.client.PlatformNamespace, "platform-namespace", "", "only this platform namespace")
	command.Complete(cmd, "namespace", o.client.Kubectl.CompleteNamespaces)
	command.Complete(cmd, "platform-namespace", o.client.Completion(o.client.Platforms))
	o.format.Bind(cmd, formats...)
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	cmd.Args = command.Args(cobra.NoArgs)
	cmd.PreRun = func(cmd *cobra.Command, _ []string) { o.warnings = cmd.ErrOrStderr() }
}

// kubernetesNamespace returns the namespace to show, "" for all.
func (o *observeFlags) kubernetesNamespace() string {
	if o.all || o.client.Server != client.InCluster {
		return o.namespace
	}
	return cmp.Or(o.namespace, o.client.Kubectl.Namespace())
}

// open returns the observer of --server.
func (o *observeFlags) open() observer {
	if o.client.Server == client.InCluster {
		return &clusterObserver{kubectl: o.client.Kubectl, namespace: o.kubernetesNamespace(), follow: o.watch}
	}
	return restObserver{&o.client, o.warnings}
}

// progress shows that the cluster is being read; the client shows requests of a server.
func (o *observeFlags) progress(cmd *cobra.Command) (stop func()) {
	if o.client.Server != client.InCluster {
		return func() {}
	}
	return output.Stderr(cmd).Progress("Listing the workloads of the cluster")
}

// printItems prints a list as JSON or YAML.
func (o *observeFlags) printItems(w io.Writer, kind string, items any) error {
	text, err := json.Marshal(map[string]any{"kind": kind, "apiVersion": "v1", "items": items})
	if err != nil {
		return err
	}
	return o.format.PrintDocument(w, text)
}

// printItem prints one object of a watch: as a line of JSON, or a YAML document.
func (o *observeFlags) printItem(w io.Writer, item any) error {
	text, err := json.Marshal(item)
	if err != nil {
		return err
	}
	if o.format == output.YAML {
		if text, err = yamljson.FromJSON(text); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "---\n%s", text)
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

// restObserver reads from the REST API.
type restObserver struct {
	client   *client.Client
	warnings io.Writer
}

func (r restObserver) workloads(ctx context.Context, q inventory.Query) (page inventory.Page, err error) {
	query := filterQuery(q.Filter)
	set(query, "sort", q.Sort)
	page.Items, page.Total, err = client.List[inventory.Workload](ctx, r.client, "/drey/v1/workloads", query)
	return page, err
}

func (r restObserver) usage(ctx context.Context, by inventory.GroupBy, f inventory.Filter) ([]inventory.Total, error) {
	query := filterQuery(f)
	set(query, "by", string(by))
	return client.Items[inventory.Total](ctx, r.client, "/drey/v1/usage", query)
}

func (r restObserver) denials(ctx context.Context, q denials.Query) (page denials.Page, err error) {
	query := url.Values{}
	set(query, "platformNamespace", q.PlatformNamespace)
	set(query, "namespace", q.Namespace)
	set(query, "reason", q.Reason)
	if !q.Since.IsZero() {
		set(query, "since", q.Since.UTC().Format(time.RFC3339))
	}
	page.Items, page.Total, err = client.List[denials.Denial](ctx, r.client, "/drey/v1/denials", query)
	return page, err
}

func filterQuery(f inventory.Filter) url.Values {
	query := url.Values{}
	set(query, "platformNamespace", f.PlatformNamespace)
	set(query, "namespace", f.Namespace)
	set(query, "target", f.Target)
	if f.Unhealthy {
		set(query, "unhealthy", strconv.FormatBool(true))
	}
	return query
}

func set(query url.Values, key, value string) {
	if value != "" {
		query.Set(key, value)
	}
}

const (
	minRetryDelay     = 200 * time.Millisecond // doubles with each failure
	maxRetryDelay     = 5 * time.Second
	streamIdleTimeout = 30 * time.Second // the server sends a comment each 10 s
)

// watch reads the event stream, and connects again when it ends: after ten minutes, or because the
// replica went away.
func (r restObserver) watch(ctx context.Context, list func(context.Context) error, f func(*inventory.Change, *denials.Change) error) error {
	failures := 0 // since it was connected
	for {
		connected, err := r.stream(ctx, list, f)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && command.CodeOf(err) != command.ExitUnavailable:
			return err
		case connected:
			failures = 0
		default:
			failures++
		}
		if failures == 1 {
			_, _ = fmt.Fprintf(r.warnings, "drey: changes not followed, retrying: %v\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(minRetryDelay<<min(failures, 10), maxRetryDelay)):
		}
	}
}

// stream reads one event stream until it ends.
func (r restObserver) stream(ctx context.Context, list func(context.Context) error, f func(*inventory.Change, *denials.Change) error) (connected bool, err error) {
	response, err := r.client.Send(ctx, http.MethodGet, "/drey/v1/events", nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return false, r.client.ResponseError(response, text)
	}
	if err := list(ctx); err != nil {
		return false, err
	}
	idle := time.AfterFunc(streamIdleTimeout, func() { _ = response.Body.Close() })
	defer idle.Stop()
	return true, readEvents(response.Body, func() { idle.Reset(streamIdleTimeout) }, f)
}

// readEvents reads server-sent events until the stream ends. It calls alive with each line.
func readEvents(stream io.Reader, alive func(), f func(*inventory.Change, *denials.Change) error) error {
	lines := bufio.NewReader(stream)
	name := ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil // the connection ended
		}
		alive()
		line = strings.TrimSuffix(line, "\n")
		if value, ok := strings.CutPrefix(line, "event: "); ok {
			name = value
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		switch name {
		case "workload":
			w, err := readEvent[inventory.Workload](data)
			if err == nil {
				err = f(&inventory.Change{Deleted: w.Deleted, Value: w.Object}, nil)
			}
			if err != nil {
				return err
			}
		case "denial":
			d, err := readEvent[denials.Denial](data)
			if err == nil {
				err = f(nil, &denials.Change{Deleted: d.Deleted, Value: d.Object})
			}
			if err != nil {
				return err
			}
		}
	}
}

type event[T any] struct {
	Deleted bool
	Object  T
}

func readEvent[T any](data string) (e event[T], err error) {
	return e, json.Unmarshal([]byte(data), &e)
}
