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

// maxReview is the most that a review may hold, in bytes. The API server takes
// objects of up to 3 MiB, and sends old and new on an update.
const maxReview = 7 << 20

// endpoint answers the reviews of one webhook: it reads them, has them decided
// and writes what comes of it.
type endpoint[T any] struct {
	*Webhooks
	name   string // of the webhook, for metrics and the log
	decide func(context.Context, *request[T]) response
}

func (e endpoint[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	_ = http.NewResponseController(w).SetReadDeadline(start.Add(e.readTimeout)) // where there is a connection
	buffer := buffers.Get().(*[]byte)
	defer putBuffer(buffer)
	held := new(inflight.Reservation)
	defer func() { held.Release() }()
	ctx, ended := r.Context(), (func(string))(nil)
	if e.trace != nil {
		ctx, ended = e.trace(r, e.name)
	}
	answer, reason, fault := e.answer(ctx, r, buffer, &held)
	if ended != nil {
		ended(string(reason))
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
	if e.draining() { // an idle connection that is closed at the end may just get a request
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // the API server may have given up
	e.metrics.decided(e.name, reason, time.Since(start))
}

// fault is a request that is no review.
type fault struct {
	status  int
	message string
}

func (e endpoint[T]) answer(ctx context.Context, r *http.Request, buffer *[]byte, held **inflight.Reservation) ([]byte, verdict.Reason, *fault) {
	if !e.known.Synced() {
		return nil, "", &fault{http.StatusServiceUnavailable, "drey has not read its registry yet: try again"}
	}
	body, reservation, f := e.readReview(ctx, r, *buffer)
	*buffer, *held = body, reservation
	if f != nil {
		return nil, "", f
	}
	req, err := decodeReview[T](body)
	if err != nil {
		return nil, "", &fault{http.StatusBadRequest, err.Error()}
	}
	answer := e.decide(ctx, req)
	if e.name == config.NameValidateRegistry && !answer.allowed && !e.refusals.allow(r) {
		return nil, "", &fault{http.StatusTooManyRequests, "too many writes to the registry were refused to this address: try again in a second"}
	}
	*buffer = answer.append(body[:0]) // decoding copied what it kept
	return *buffer, answer.reason, nil
}

// buffers hold bodies, and then answers: a pod of 10 KB is the usual thing.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

func putBuffer(b *[]byte) {
	const most = 256 << 10 // a large one would stay for good
	if cap(*b) <= most {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// The memory for reviews in flight: for three of the largest at once, and for hundreds of
// the usual size.
const (
	largeReviews  = 48 << 20
	smallReviews  = 16 << 20
	budgetTimeout = time.Second // the API server waits 3

	// valueSize is about what the costliest value takes that a comma ends: an empty
	// container, decoded and recognized.
	valueSize = 256
)

func newReviewBudget() *inflight.Budget {
	return inflight.New(inflight.Options{Large: largeReviews, Reserved: smallReviews, Timeout: budgetTimeout})
}

// readReview reads the body into buffer, if that is large enough, and reserves what it
// takes in memory. The reservation is to be released after a fault too.
func (w *Webhooks) readReview(ctx context.Context, r *http.Request, buffer []byte) ([]byte, *inflight.Reservation, *fault) {
	none := new(inflight.Reservation)
	if r.Method != http.MethodPost {
		return buffer, none, &fault{http.StatusMethodNotAllowed, "POST an AdmissionReview here"}
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return buffer, none, &fault{http.StatusUnsupportedMediaType, fmt.Sprintf("the Content-Type is %q, want application/json", r.Header.Get("Content-Type"))}
	}
	body, held, err := w.bodies.Read(ctx, r.Body, r.ContentLength, maxReview, buffer)
	switch {
	case errors.Is(err, inflight.ErrTooLarge):
		return body, held, &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the AdmissionReview is larger than %d bytes", maxReview)}
	case errors.Is(err, inflight.ErrBusy):
		return body, held, busy()
	case err != nil:
		return body, held, &fault{http.StatusBadRequest, "the body could not be read to its end: " + err.Error()}
	}
	values := bytes.Count(body, []byte(","))
	switch err := held.Grow(ctx, int64(values)*valueSize); {
	case errors.Is(err, inflight.ErrTooLarge):
		return body, held, &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the AdmissionReview has about %d values, more than fit into memory", values)}
	case err != nil:
		return body, held, busy()
	}
	return body, held, nil
}

func busy() *fault {
	return &fault{http.StatusServiceUnavailable, "too many large AdmissionReviews are in flight: try again in a second"}
}
