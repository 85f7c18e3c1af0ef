// Package balancer is a TCP balancer that follows the readiness of what is behind it,
// as a Service and kube-proxy do: new connections go to what is ready, in turn; those
// that there are stay where they are until one side ends them.
package balancer

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Backend is one of those that connections go to.
type Backend struct {
	Address  string // host:port
	ReadyURL string // URL that answers 200 while it is ready
}

// Balancer takes connections until it is closed.
type Balancer struct {
	listener net.Listener
	probes   *http.Client
	done     chan struct{}
	tasks    sync.WaitGroup

	mu    sync.Mutex
	all   map[Backend]bool // whether it is ready
	order []Backend
	next  int
	open  map[net.Conn]bool
}

// period is how often readiness is asked for. A kubelet does every second or so, and
// endpoints take a while to travel: who stops serving has to wait for that.
const period = 100 * time.Millisecond

// New returns a balancer on a free port of loopback, without backends.
func New() (*Balancer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Balancer{
		listener: listener, done: make(chan struct{}), all: map[Backend]bool{}, open: map[net.Conn]bool{},
		probes: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	b.tasks.Go(b.accept)
	b.tasks.Go(b.follow)
	return b, nil
}

// Address is where it listens.
func (b *Balancer) Address() string { return b.listener.Addr().String() }

// Add adds a backend, which gets connections once it is ready.
func (b *Balancer) Add(backend Backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.all[backend]; !ok {
		b.all[backend], b.order = false, append(b.order, backend)
	}
}

// Remove takes a backend out. Its connections stay.
func (b *Balancer) Remove(backend Backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, backend)
	for i, other := range b.order {
		if other == backend {
			b.order = append(b.order[:i:i], b.order[i+1:]...)
			return
		}
	}
}

// ReadyBackends returns the number of ready backends.
func (b *Balancer) ReadyBackends() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ready := range b.all {
		if ready {
			n++
		}
	}
	return n
}

// Close ends it, and all connections.
func (b *Balancer) Close() error {
	close(b.done)
	err := b.listener.Close()
	b.mu.Lock()
	for c := range b.open {
		_ = c.Close() // the other side may have
	}
	b.mu.Unlock()
	b.tasks.Wait()
	return err
}

func (b *Balancer) follow() {
	for {
		b.mu.Lock()
		backends := append([]Backend(nil), b.order...)
		b.mu.Unlock()
		var probes sync.WaitGroup
		for _, backend := range backends {
			probes.Go(func() { b.probe(backend) })
		}
		probes.Wait()
		select {
		case <-b.done:
			return
		case <-time.After(period):
		}
	}
}

func (b *Balancer) probe(backend Backend) {
	response, err := b.probes.Get(backend.ReadyURL)
	if err == nil {
		_ = response.Body.Close() // what it says does not matter
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.all[backend]; ok {
		b.all[backend] = err == nil && response.StatusCode == http.StatusOK
	}
}

func (b *Balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				continue
			}
			return
		}
		b.tasks.Go(func() { b.serve(client) })
	}
}

// serve joins a connection with the next backend that is ready and takes it: one that
// was killed a moment ago refuses, and is not asked again before it is probed.
func (b *Balancer) serve(client net.Conn) {
	defer b.forget(client)
	b.remember(client)
	for {
		backend, ok := b.choose()
		if !ok {
			return
		}
		server, err := net.DialTimeout("tcp", backend.Address, time.Second)
		if err != nil {
			b.mu.Lock()
			if _, ok := b.all[backend]; ok { // it was not removed meanwhile
				b.all[backend] = false
			}
			b.mu.Unlock()
			continue
		}
		defer b.forget(server)
		b.remember(server)
		join(client, server)
		return
	}
}

func (b *Balancer) choose() (Backend, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.order {
		b.next++
		if backend := b.order[b.next%len(b.order)]; b.all[backend] {
			return backend, true
		}
	}
	return Backend{}, false
}

func (b *Balancer) remember(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[c] = true
}

func (b *Balancer) forget(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
	_ = c.Close() // the other side may have
}

// join copies both ways until either side is done.
func join(a, b net.Conn) {
	over := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // a connection that breaks is one that is over
			over <- struct{}{}
		}()
	}
	<-over
}
