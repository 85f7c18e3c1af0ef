package console

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"drey.dev/drey/feed"
)

const (
	// settleDelay joins changes that follow each other: a page updates at most so often.
	settleDelay = 300 * time.Millisecond
	// heartbeat keeps proxies from closing an idle stream, and ends one whose token was deleted.
	heartbeat = 15 * time.Second
	// maxStream ends a stream; the browser opens the next one.
	maxStream = time.Hour
	// writeTimeout bounds a write to a stream.
	writeTimeout = 10 * time.Second
)

// topic is a table that pages show.
type topic struct {
	ready <-chan struct{} // nil: the page does not show it
	take  func()
	close func()
}

func subscribed[K cmp.Ordered, V any](s *feed.Subscription[K, V]) topic {
	return topic{s.Ready(), func() { s.Take() }, s.Close}
}

// subscribe returns the topics of a page: those of the registry, the workloads and the denials.
func (c *Console) subscribe(names []string) (all [3]topic) {
	if slices.Contains(names, "targets") {
		all[0] = subscribed(c.catalog.changes.Subscribe())
	}
	if slices.Contains(names, "workloads") && c.Inventory != nil {
		all[1] = subscribed(c.Inventory.Subscribe())
	}
	if slices.Contains(names, "denials") && c.Denials != nil {
		all[2] = subscribed(c.Denials.Subscribe())
	}
	return all
}

// events streams a server-sent event when data of a topic of the query has changed. Events have
// no data, so a valid token suffices: the script fetches the page again.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	if err := c.checkOrigin(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if _, err := c.authenticate(r); err != nil {
		http.Error(w, "log in again", http.StatusUnauthorized)
		return
	}
	if c.catalog.fill() != nil {
		http.Error(w, "the registry is not available: try again", http.StatusServiceUnavailable)
		return
	}
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		http.Error(w, "too many pages are open: close some", http.StatusServiceUnavailable)
		return
	}
	topics := c.subscribe(strings.Fields(r.URL.Query().Get("topics")))
	for _, t := range topics {
		if t.close != nil {
			defer t.close()
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of nginx
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Time{}) != nil { // the server's would end the request
		return
	}
	send := func(text string) bool {
		if control.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil { // the server's is for whole responses
			return false
		}
		if _, err := io.WriteString(w, text); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !send("retry: 2000\n\n") {
		return
	}
	beat, end := time.NewTicker(heartbeat), time.NewTimer(maxStream)
	defer beat.Stop()
	defer end.Stop()
	for {
		text := ": alive\n\n"
		select {
		case <-r.Context().Done():
			return
		case <-c.Closing:
			return
		case <-end.C:
			return
		case <-beat.C:
			if _, err := c.authenticate(r); err != nil {
				return
			}
		case <-topics[0].ready:
			text = changeEvent
		case <-topics[1].ready:
			text = changeEvent
		case <-topics[2].ready:
			text = changeEvent
		}
		if text == changeEvent {
			select {
			case <-r.Context().Done():
				return
			case <-c.Closing:
				return
			case <-time.After(settleDelay):
			}
			for _, t := range topics {
				if t.take != nil {
					t.take()
				}
			}
		}
		if !send(text) {
			return
		}
	}
}

const changeEvent = "event: change\ndata: changed\n\n"
