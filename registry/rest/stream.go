package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
)

const (
	maxStreams        = 128
	streamLifetime    = 10 * time.Minute // clients reconnect
	streamHeartbeat   = 10 * time.Second // also the interval in which the caller is authorized again
	streamWriteTime   = 10 * time.Second // of one write to a slow client
	streamMinInterval = 250 * time.Millisecond
)

// observedChange is the data of an event of the stream.
type observedChange[T any] struct {
	Deleted bool `json:"deleted,omitzero"`
	Object  T    `json:"object"`
}

// streamEvents sends the changes of workloads and denials as server-sent events: the newest
// state of each that has changed, at most every streamMinInterval. A request in flight would
// keep others out, so streams have a limit of their own.
func (s *server) streamEvents(r *http.Request) (response, error) {
	release, resp, err := s.streams.acquire(sharesOf(r)...)
	if err != nil {
		return resp, err
	}
	info := infoOf(r)
	info.close()
	info.release = release
	if r.Method == http.MethodHead {
		return response{status: http.StatusOK, header: http.Header{"Content-Type": {eventStream}}}, nil
	}
	return response{status: http.StatusOK, stream: func(w http.ResponseWriter, r *http.Request) { s.stream(w, r) }}, nil
}

const eventStream = "text/event-stream"

func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	var (
		workloads *inventory.Subscription
		denied    *denials.Subscription
		ready     [2]<-chan struct{}
	)
	if s.inventory != nil {
		workloads = s.inventory.Subscribe()
		defer workloads.Close()
		ready[0] = workloads.Ready()
	}
	if s.denials != nil {
		denied = s.denials.Subscribe()
		defer denied.Close()
		ready[1] = denied.Ready()
	}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	out := eventWriter{w: w, control: http.NewResponseController(w)}
	out.comment("changes follow")
	heartbeat := time.NewTicker(streamHeartbeat)
	defer heartbeat.Stop()
	end := time.NewTimer(streamLifetime)
	defer end.Stop()
	may := newSight(r)
	for out.err == nil {
		select {
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		case <-end.C:
			return
		case <-heartbeat.C:
			if s.filter.access != nil {
				if _, err := s.filter.authenticate(r); err != nil {
					return
				}
			}
			may = newSight(r)
			out.comment("")
		case <-ready[0]:
			for _, c := range workloads.Take() {
				if may.see(c.Value.Readers()) {
					send(&out, "workload", observedChange[inventory.Workload]{c.Deleted, c.Value})
				}
			}
			out.flush()
			time.Sleep(streamMinInterval)
		case <-ready[1]:
			for _, c := range denied.Take() {
				if may.see(c.Value.PlatformNamespace) {
					send(&out, "denial", observedChange[denials.Denial]{c.Deleted, c.Value})
				}
			}
			out.flush()
			time.Sleep(streamMinInterval)
		}
	}
}

// sight caches which platform namespaces a caller may see.
type sight struct {
	visible func(string) (bool, error)
	known   map[string]bool
}

func newSight(r *http.Request) sight { return sight{visible(r), make(map[string]bool)} }

func (s sight) see(platformNamespace string) bool {
	if s.visible == nil {
		return true
	}
	may, ok := s.known[platformNamespace]
	if !ok {
		var err error
		may, err = s.visible(platformNamespace)
		may = may && err == nil
		s.known[platformNamespace] = may
	}
	return may
}

// eventWriter writes server-sent events.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func send[T any](e *eventWriter, name string, c observedChange[T]) {
	data, err := json.Marshal(c) // has no line break
	if err != nil {
		e.err = err
		return
	}
	e.write(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

func (e *eventWriter) comment(text string) {
	e.write(": " + text + "\n\n")
	e.flush()
}

func (e *eventWriter) write(text string) {
	if e.err != nil {
		return
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(streamWriteTime)) // unsupported by test recorders
	_, e.err = io.WriteString(e.w, text)
}

func (e *eventWriter) flush() {
	if e.err == nil {
		e.err = e.control.Flush()
	}
}
