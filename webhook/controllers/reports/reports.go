// Package reports writes workloads and denials as policy reports: one report in each Kubernetes
// namespace with workloads or denials, of openreports.io or else wgpolicyk8s.io, if the cluster
// serves them.
package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
)

// Options configure a [Writer]. All fields are required.
type Options struct {
	Client     dynamic.Interface
	Inventory  *inventory.Inventory
	Denials    *denials.History
	APIVersion func(kind string) string // of the owners of workloads; "": unknown
	Log        *slog.Logger
}

// Writer is the controller that writes the reports. Run it in the leader.
type Writer struct {
	o   Options
	now func() time.Time
}

// New returns a Writer that is not running.
func New(o Options) *Writer { return &Writer{o, time.Now} }

// format is a kind of reports. Both have the same fields.
type format struct {
	schema.GroupVersionResource
	kind string
}

// formats are the kinds of reports, the preferred one first.
var formats = []format{
	{schema.GroupVersionResource{Group: "openreports.io", Version: "v1alpha1", Resource: "reports"}, "Report"},
	{schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"}, "PolicyReport"},
}

const (
	// Name is the name of each report.
	Name = "drey"

	labelManagedBy = "app.kubernetes.io/managed-by"
	managedByDrey  = labelManagedBy + "=" + Name
	annotationHash = "drey.dev/hash" // of the results

	servedInterval = 10 * time.Second       // between two searches for a kind of reports
	resyncInterval = 10 * time.Minute       // between two comparisons of all reports
	writeDelay     = 500 * time.Millisecond // collects changes
	callTimeout    = 10 * time.Second
	pageSize       = 500
)

// Run writes reports until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	for !w.o.Inventory.Synced() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(writeDelay):
		}
	}
	for ctx.Err() == nil {
		err := w.follow(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errNotServed) {
			w.o.Log.Warn("reports not written: it is retried", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(servedInterval):
		}
	}
}

var errNotServed = errors.New("the cluster serves no kind of reports")

// follow writes the reports of the kind that the cluster serves, until a call fails.
func (w *Writer) follow(ctx context.Context) error {
	f, written, err := w.served(ctx)
	if err != nil {
		return err
	}
	workloads, denied := w.o.Inventory.Subscribe(), w.o.Denials.Subscribe()
	defer workloads.Close()
	defer denied.Close()
	resync := time.NewTimer(resyncInterval)
	defer resync.Stop()
	dirty, err := w.namespaces(written)
	if err != nil {
		return err
	}
	for {
		for namespace := range dirty {
			if err := w.write(ctx, f, namespace, written); err != nil {
				return err
			}
		}
		dirty = map[string]bool{}
		select {
		case <-ctx.Done():
			return nil
		case <-resync.C:
			return nil // and list again
		case <-workloads.Ready():
		case <-denied.Ready():
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(writeDelay):
		}
		for _, c := range workloads.Take() {
			dirty[c.Value.Namespace] = true
		}
		for _, c := range denied.Take() {
			dirty[c.Value.Namespace] = true
		}
	}
}

// served returns the first kind of reports that the cluster serves, and the hashes of drey's
// reports by namespace.
func (w *Writer) served(ctx context.Context) (format, map[string]string, error) {
	for _, f := range formats {
		written, err := w.list(ctx, f)
		if apierrors.IsNotFound(err) {
			continue
		}
		return f, written, err
	}
	return format{}, nil, errNotServed
}

func (w *Writer) list(ctx context.Context, f format) (map[string]string, error) {
	written := map[string]string{}
	options := metav1.ListOptions{LabelSelector: managedByDrey, Limit: pageSize}
	for {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		page, err := w.o.Client.Resource(f.GroupVersionResource).List(ctx, options)
		cancel()
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if o := &page.Items[i]; o.GetName() == Name {
				written[o.GetNamespace()] = o.GetAnnotations()[annotationHash]
			}
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return written, nil
		}
	}
}

// namespaces returns the namespaces that have a report, or need one.
func (w *Writer) namespaces(written map[string]string) (map[string]bool, error) {
	all := map[string]bool{}
	for namespace := range written {
		all[namespace] = true
	}
	workloads, err := w.o.Inventory.List(inventory.Query{})
	if err != nil {
		return nil, err
	}
	denied, err := w.o.Denials.List(denials.Query{})
	if err != nil {
		return nil, err
	}
	for i := range workloads.Items {
		all[workloads.Items[i].Namespace] = true
	}
	for i := range denied.Items {
		all[denied.Items[i].Namespace] = true
	}
	return all, nil
}

// write creates, updates or deletes the report of a namespace if its results differ from those
// that are written.
func (w *Writer) write(ctx context.Context, f format, namespace string, written map[string]string) error {
	results, err := w.results(namespace)
	if err != nil {
		return err
	}
	hash, err := hashOf(results)
	if err != nil {
		return err
	}
	before, exists := written[namespace]
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client := w.o.Client.Resource(f.GroupVersionResource).Namespace(namespace)
	switch {
	case len(results) == 0 && !exists, exists && before == hash:
		return nil
	case len(results) == 0:
		err = client.Delete(ctx, Name, metav1.DeleteOptions{})
		delete(written, namespace)
	default:
		report := newReport(f, namespace, hash, results)
		if !exists {
			_, err = client.Create(ctx, report, metav1.CreateOptions{})
		}
		if exists || apierrors.IsAlreadyExists(err) {
			err = replace(ctx, client, report)
		}
		written[namespace] = hash
	}
	switch {
	case apierrors.IsNotFound(err), apierrors.HasStatusCause(err, "NamespaceTerminating"): // the namespace is gone, or the kind: the next list shows it
		delete(written, namespace)
		return nil
	case err != nil:
		return fmt.Errorf("report of namespace %q: %w", namespace, err)
	}
	return nil
}

// replace replaces the fields of a report without a precondition: only the leader writes it.
func replace(ctx context.Context, client dynamic.ResourceInterface, report *unstructured.Unstructured) error {
	patch, err := report.MarshalJSON()
	if err == nil {
		_, err = client.Patch(ctx, Name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	return err
}
