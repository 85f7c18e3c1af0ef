package listwatch

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// source is a fake API server for one resource.
type source struct {
	lists   []metav1.ListOptions
	watches []metav1.ListOptions
	fail    []error // errors of the next requests
	events  *watch.FakeWatcher
}

func (s *source) next() error {
	if len(s.fail) == 0 {
		return nil
	}
	err := s.fail[0]
	s.fail = s.fail[1:]
	return err
}

func (s *source) consistent() cache.ListerWatcherWithContext {
	return cache.ToListerWatcherWithContext(Consistent(&cache.ListWatch{
		ListWithContextFunc: func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
			s.lists = append(s.lists, o)
			return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "10"}}, s.next()
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			s.watches = append(s.watches, o)
			s.events = watch.NewFakeWithChanSize(10, false)
			return s.events, s.next()
		},
	}, nil))
}

func at(version string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: version}}
}

func options(version string) metav1.ListOptions {
	return metav1.ListOptions{ResourceVersion: version, TimeoutSeconds: new(int64(300))}
}

// isGone reports whether the next event of a watch is 410 Gone.
func isGone(w watch.Interface) bool {
	e, ok := <-w.ResultChan()
	return ok && e.Type == watch.Error && apierrors.IsResourceExpired(apierrors.FromObject(e.Object))
}

func TestConsistent(t *testing.T) {
	for rule, do := range map[string]func(*testing.T, *source, cache.ListerWatcherWithContext){
		"list is consistent despite a resourceVersion in the options": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			_, err := lw.ListWithContext(t.Context(), metav1.ListOptions{ResourceVersion: "99", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
			if err != nil || s.lists[0].ResourceVersion != "" || s.lists[0].ResourceVersionMatch != "" {
				t.Errorf("%v, %+v", err, s.lists)
			}
			streaming := options("99")
			streaming.SendInitialEvents = new(true)
			if _, err := lw.WatchWithContext(t.Context(), streaming); err != nil || s.watches[0].ResourceVersion != "" {
				t.Errorf("%v, %+v", err, s.watches)
			}
		},
		"watch is resumed after its timeout": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			w, _ := lw.WatchWithContext(t.Context(), options("10"))
			time.Sleep(301 * time.Second)
			w.Stop()
			if _, err := lw.WatchWithContext(t.Context(), options("12")); err != nil || len(s.watches) != 2 || s.watches[1].ResourceVersion != "12" {
				t.Errorf("%v, %+v", err, s.watches)
			}
		},
		"watch that ended early is not resumed before a list": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			w, _ := lw.WatchWithContext(t.Context(), options("10"))
			w.Stop()
			time.Sleep(time.Second)
			if w, err := lw.WatchWithContext(t.Context(), options("10")); err != nil || !isGone(w) || len(s.watches) != 1 {
				t.Errorf("%v, %+v", err, s.watches)
			}
			_, _ = lw.ListWithContext(t.Context(), metav1.ListOptions{})
			if _, err := lw.WatchWithContext(t.Context(), options("10")); err != nil || len(s.watches) != 2 {
				t.Errorf("%v, %+v", err, s.watches)
			}
		},
		"watch that could not start is not resumed": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			s.fail = []error{&url.Error{Op: "Get", Err: errors.New("connection refused")}}
			if w, err := lw.WatchWithContext(t.Context(), options("10")); err != nil || !isGone(w) || len(s.watches) != 1 {
				t.Errorf("%v, %+v", err, s.watches)
			}
		},
		"429 does not break a watch": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			s.fail = []error{apierrors.NewTooManyRequestsError("later")}
			_, _ = lw.WatchWithContext(t.Context(), options("10"))
			if _, err := lw.WatchWithContext(t.Context(), options("10")); err != nil || len(s.watches) != 2 {
				t.Errorf("%v, %+v", err, s.watches)
			}
		},
		"unreachable API server is retried within seconds": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			for range 100 {
				s.fail = append(s.fail, &url.Error{Op: "Get", Err: errors.New("connection refused")})
			}
			began := time.Now()
			if _, err := lw.ListWithContext(t.Context(), metav1.ListOptions{}); err != nil || time.Since(began) > 200*time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		},
		"with jitter": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			delays := map[time.Duration]bool{}
			for range 20 {
				s.fail = []error{&url.Error{Op: "Get", Err: errors.New("connection refused")}}
				began := time.Now()
				_, err := lw.ListWithContext(t.Context(), metav1.ListOptions{})
				delay := time.Since(began)
				if err != nil || delay < time.Second || delay > 2*time.Second {
					t.Errorf("%v after %s", err, delay)
				}
				delays[delay] = true
			}
			if len(delays) < 10 {
				t.Errorf("delays without jitter: %v", delays)
			}
		},
		"until the context ends": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			for range 100 {
				s.fail = append(s.fail, &url.Error{Op: "Get", Err: errors.New("connection refused")})
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			if _, err := lw.ListWithContext(ctx, metav1.ListOptions{}); err == nil || time.Since(began) != 5*time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		},
		"an error response is returned immediately": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			s.fail = []error{apierrors.NewInternalError(errors.New("etcd unavailable"))}
			began := time.Now()
			if _, err := lw.ListWithContext(t.Context(), metav1.ListOptions{}); err == nil || time.Since(began) != 0 {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		},
		"decreasing versions end a watch": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			w, _ := lw.WatchWithContext(t.Context(), options("10"))
			s.events.Add(at("11"))
			s.events.Action(watch.Bookmark, at("11"))
			s.events.Modify(at("9"))
			for range 2 {
				if e := <-w.ResultChan(); e.Type == watch.Error {
					t.Error(e)
				}
			}
			if !isGone(w) {
				t.Error("watch was not ended")
			}
			if _, more := <-w.ResultChan(); more {
				t.Error("event after 410")
			}
		},
		"initial events of a streaming list may be unordered": func(t *testing.T, s *source, lw cache.ListerWatcherWithContext) {
			streaming := options("")
			streaming.SendInitialEvents = new(true)
			w, _ := lw.WatchWithContext(t.Context(), streaming)
			s.events.Add(at("9"))
			s.events.Add(at("4"))
			s.events.Action(watch.Bookmark, at("10"))
			s.events.Modify(at("11"))
			for range 4 {
				if e := <-w.ResultChan(); e.Type == watch.Error {
					t.Error(e)
				}
			}
			w.Stop()
		},
	} {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{}
				do(t, s, s.consistent())
				if s.events != nil {
					s.events.Stop()
				}
			})
		})
	}
}
