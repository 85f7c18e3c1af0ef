package webhook

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// maxReview is the most that a review may hold, in bytes. The API server takes
// objects of up to 3 MiB, and sends old and new on an update.
const maxReview = 7 << 20

// subject is what drey reads of an object under review.
type subject[T any] interface {
	*T
	object(*request[T]) flink.Object
}

// admission answers the reviews of one webhook. It decodes, asks for the
// verdict and words it; it decides nothing.
type admission[T any, P subject[T]] struct {
	*Webhooks
	name   string // of the webhook, for metrics and the log
	labels bool   // whether this webhook adds labels, or only lets pass
}

func (a admission[T, P]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	_ = http.NewResponseController(w).SetReadDeadline(start.Add(a.readTimeout)) // where there is a connection
	buffer := buffers.Get().(*[]byte)
	defer putBuffer(buffer)
	answer, reason, fault := a.answer(r, buffer)
	if fault != nil {
		a.metrics.rejected(a.name, fault.status)
		a.log.Warn("review not answered", "webhook", a.name, "status", fault.status, "error", fault.message)
		http.Error(w, fault.message, fault.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) //nolint:gosec // JSON for the API server, which may have given up
	a.metrics.decided(a.name, reason, time.Since(start))
}

// fault is a request that is no review.
type fault struct {
	status  int
	message string
}

func (a admission[T, P]) answer(r *http.Request, buffer *[]byte) ([]byte, verdict.Reason, *fault) {
	if !a.targets.Synced() {
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
	answer := a.decide(req)
	*buffer = answer.append(body[:0]) // decoding copied what it kept
	return *buffer, answer.reason, nil
}

func (a admission[T, P]) decide(req *request[T]) response {
	answer := response{uid: req.UID, allowed: true, reason: verdict.NotConcerned}
	if req.Operation != "CREATE" || req.SubResource != "" {
		return answer
	}
	if slices.Contains(a.exclude, req.Namespace) {
		answer.reason = verdict.ExcludedNamespace
		return answer
	}
	object := P(req.Object).object(req)
	v := verdict.Decide(flink.Recognise(&object), a.targets.Targets(req.Namespace))
	answer.allowed, answer.reason = v.Allowed, v.Reason
	if !v.Allowed {
		answer.message = v.Message(a.registry)
		a.log.Info("workload denied", "webhook", a.name, "reason", v.Reason, "kind", object.Kind, "namespace", object.Namespace,
			"name", object.Name, "generateName", object.GenerateName, "uid", req.UID)
		return answer
	}
	if a.labels {
		answer.kept = v.Kept
		a.metrics.labelled(v)
		if len(v.Add) > 0 {
			answer.patch = appendLabelsPatch(make([]byte, 0, 512), len(object.Labels) > 0, v.Add)
		}
	}
	return answer
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
