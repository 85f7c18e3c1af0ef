package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

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
	ctx, ended := r.Context(), (func(string))(nil)
	if e.trace != nil {
		ctx, ended = e.trace(r, e.name)
	}
	answer, reason, fault := e.answer(ctx, r, buffer)
	if ended != nil {
		ended(string(reason))
	}
	if fault != nil {
		e.metrics.rejected(e.name, fault.status)
		e.log.Warn("review not answered", "webhook", e.name, "status", fault.status, "error", fault.message)
		http.Error(w, fault.message, fault.status)
		return
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

func (e endpoint[T]) answer(ctx context.Context, r *http.Request, buffer *[]byte) ([]byte, verdict.Reason, *fault) {
	if !e.known.Synced() {
		return nil, "", &fault{http.StatusServiceUnavailable, "drey has not read its registry yet: try again"}
	}
	body, f := readReview(r, *buffer)
	*buffer = body
	if f != nil {
		return nil, "", f
	}
	req, err := decodeReview[T](body)
	if err != nil {
		return nil, "", &fault{http.StatusBadRequest, err.Error()}
	}
	answer := e.decide(ctx, req)
	if e.name == validateObjects && !answer.allowed && !e.refusals.allow(r) {
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

// readReview reads the body into buffer, which may grow.
func readReview(r *http.Request, buffer []byte) ([]byte, *fault) {
	if r.Method != http.MethodPost {
		return buffer, &fault{http.StatusMethodNotAllowed, "POST an AdmissionReview here"}
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return buffer, &fault{http.StatusUnsupportedMediaType, fmt.Sprintf("the Content-Type is %q, want application/json", r.Header.Get("Content-Type"))}
	}
	if r.ContentLength > maxReview {
		return buffer, tooLarge()
	}
	const trusted = 1 << 20 // of what a header claims, before anything has come
	if want := int(min(r.ContentLength, trusted)) + 1; want > cap(buffer) {
		buffer = make([]byte, 0, want)
	}
	for {
		if len(buffer) > maxReview {
			return buffer, tooLarge()
		}
		if len(buffer) == cap(buffer) {
			buffer = slices.Grow(buffer, cap(buffer))
		}
		n, err := r.Body.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case errors.Is(err, io.EOF):
			return buffer, nil
		case err != nil:
			return buffer, &fault{http.StatusBadRequest, "the body could not be read to its end: " + err.Error()}
		}
	}
}

func tooLarge() *fault {
	return &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the AdmissionReview is larger than %d bytes", maxReview)}
}
