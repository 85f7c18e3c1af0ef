package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"drey.dev/drey/inflight"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// maxReview is the maximum size of a review in bytes. The API server accepts objects of up to
// 3 MiB, and sends the old and the new one on update.
const maxReview = 7 << 20

// endpoint is the HTTP handler of one webhook. T is the type that objects are decoded into.
type endpoint[T any] struct {
	*Webhooks
	name     string // of the webhook, for metrics and the log
	decide   func(context.Context, *request[T]) response
	measured *endpointMetrics
	decoders decoders[T]
}

func newEndpoint[T any](w *Webhooks, name string, decide func(context.Context, *request[T]) response) *endpoint[T] {
	return &endpoint[T]{Webhooks: w, name: name, decide: decide, measured: w.metrics.endpoint(name)}
}

func (e *endpoint[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	if !e.isAPIServer(r) {
		e.metrics.rejected(e.name, http.StatusForbidden)
		http.Error(w, "the path has no token of the webhook configurations, which drey writes: see drey doctor", http.StatusForbidden)
		return
	}
	buffer := buffers.Get().(*[]byte)
	defer putBuffer(buffer)
	held := e.bodies.Begin()
	defer held.Release()
	ctx, end := r.Context(), (func(string))(nil)
	if e.trace != nil {
		ctx, end = e.trace(r, e.name)
	}
	reason, fault := e.answer(ctx, r, buffer, held)
	if end != nil {
		end(string(reason))
	}
	if e.draining() { // a request may arrive on an idle connection while it is closed
		w.Header().Set("Connection", "close")
	}
	if fault != nil {
		e.metrics.rejected(e.name, fault.status)
		e.log.Warn("review not answered", "webhook", e.name, "status", fault.status, "error", fault.message)
		if fault.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, fault.message, fault.status)
		return
	}
	w.Header()["Content-Type"] = contentType
	if len(*buffer) > serverBuffer {
		w.Header().Set("Content-Length", strconv.Itoa(len(*buffer)))
	}
	_, _ = w.Write(*buffer) // after an error the API server has timed out
	e.measured.decided(reason, time.Since(start))
}

// contentType is the value of a header. It is shared, which saves an allocation.
var contentType = []string{"application/json"}

// serverBuffer is the size of the longest answer whose length net/http finds by itself.
const serverBuffer = 2048

// isAPIServer reports whether the API server sends a request: it has a client certificate, or
// the path of a webhook configuration. A configuration may lack the token, until the leader
// writes it. Then reviews of workloads are answered, so that Flink continues, but not those
// of the registry, whose answers disclose names and ids.
func (e *endpoint[T]) isAPIServer(r *http.Request) bool {
	switch {
	case e.statesPath == nil, hasCertificate(r):
		return true
	case r.URL.Path == config.PathValidateRegistry:
		return false
	}
	return e.statesPath(r.Context(), r.URL.Path)
}

// hasCertificate reports whether the sender of a request has shown a client certificate.
func hasCertificate(r *http.Request) bool { return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 }

// fault is an HTTP error for a request that gets no review.
type fault struct {
	status  int
	message string
}

// answer reads a review into buffer, and replaces it there by its answer.
func (e *endpoint[T]) answer(ctx context.Context, r *http.Request, buffer *[]byte, held *inflight.Reservation) (verdict.Reason, *fault) {
	if !e.synced() {
		return "", &fault{http.StatusServiceUnavailable, "drey has not read its registry yet: try again"}
	}
	body, f := e.readReview(ctx, r, *buffer, held)
	*buffer = body
	if f != nil {
		return "", f
	}
	d := e.decoders.get()
	req, err := d.decode(body)
	if err != nil {
		return "", &fault{http.StatusBadRequest, err.Error()}
	}
	req.sender = sender(r)
	answer := e.decide(ctx, req)
	if len(answer.patch) > 0 {
		d.patch = answer.patch
	}
	*buffer = answer.append(body[:0]) // of the request, the answer has strings only, which do not alias body
	if len(body) <= mostPooled {
		e.decoders.put(d)
	}
	return answer.reason, nil
}

// buffers hold bodies, and then answers. A typical pod has 10 KB.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// mostPooled is the size of the largest body whose memory is used again: that of a larger one would
// stay after its reservation has ended.
const mostPooled = 256 << 10

func putBuffer(b *[]byte) {
	if cap(*b) <= mostPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

const (
	budgetTimeout = time.Second // less than config.Timeout

	// valueSize is the approximate memory per comma of the most expensive value, an empty
	// container, in bytes.
	valueSize = 256
)

// newReviewBudget returns the memory for three of the largest reviews, and for hundreds of the
// typical size.
func newReviewBudget() *inflight.Budget {
	return inflight.New(inflight.Options{
		Large:    inflight.Size{Bodies: 44 << 20, Decoded: 34 << 20},
		Reserved: inflight.Size{Bodies: 10 << 20, Decoded: 8 << 20},
		Timeout:  budgetTimeout,
	})
}

// readReview reads the body into buffer, or a larger one, and reserves its memory.
func (w *Webhooks) readReview(ctx context.Context, r *http.Request, buffer []byte, held *inflight.Reservation) ([]byte, *fault) {
	if r.Method != http.MethodPost {
		return buffer, &fault{http.StatusMethodNotAllowed, "method not allowed: POST an AdmissionReview"}
	}
	if sent := r.Header.Get("Content-Type"); !isJSON(sent) {
		return buffer, &fault{http.StatusUnsupportedMediaType, fmt.Sprintf("the Content-Type is %q, want application/json", sent)}
	}
	body, err := held.Read(ctx, r.Body, r.ContentLength, maxReview, buffer)
	switch {
	case errors.Is(err, inflight.ErrTooLarge):
		return body, &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the AdmissionReview is larger than %d bytes", maxReview)}
	case errors.Is(err, inflight.ErrBusy):
		return body, busy()
	case err != nil:
		return body, &fault{http.StatusBadRequest, "cannot read the body: " + err.Error()}
	}
	values := bytes.Count(body, []byte(","))
	switch err := held.Grow(ctx, int64(values)*valueSize); {
	case errors.Is(err, inflight.ErrTooLarge):
		return body, &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the AdmissionReview has about %d values, more than fit into memory", values)}
	case err != nil:
		return body, busy()
	}
	return body, nil
}

func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == "application/json"
}

func busy() *fault {
	return &fault{http.StatusServiceUnavailable, "too many large AdmissionReviews are in flight: try again in a second"}
}
