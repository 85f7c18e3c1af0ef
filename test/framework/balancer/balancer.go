// Package balancer is a TCP load balancer with readiness probes, in place of a Service and
// kube-proxy: new connections go to ready backends, round-robin; existing connections stay
// until one side closes them.
package balancer

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Backend is a target of connections.
type Backend struct {
	Address  string // host:port
	ReadyURL string // URL of the readiness probe
}

// Balancer forwards connections until it is closed.
type Balancer struct {
	listener net.Listener
	probes   *http.Client
	done     chan struct{}
	tasks    sync.WaitGroup

	mu    sync.Mutex
	ready map[Backend]bool
	order []Backend
	last  int // index of the last chosen backend
	open  map[net.Conn]bool
}

// probeInterval is the interval of readiness probes. A kubelet probes less often, and
// endpoints propagate with a delay.
const probeInterval = 100 * time.Millisecond

// timeout bounds a probe and the start of a connection, for a backend that does not respond. One that
// has ended refuses both at once.
const timeout = 10 * time.Second

// New returns a balancer on a free port of loopback, without backends.
func New() (*Balancer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Balancer{
		listener: listener, done: make(chan struct{}), ready: map[Backend]bool{}, open: map[net.Conn]bool{},
		probes: &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	b.tasks.Go(b.accept)
	b.tasks.Go(b.probeAll)
	return b, nil
}

// Address returns the address of the listener.
func (b *Balancer) Address() string { return b.listener.Addr().String() }

// Add adds a backend. It gets connections once it is ready.
func (b *Balancer) Add(backend Backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.ready[backend]; !ok {
		b.ready[backend], b.order = false, append(b.order, backend)
	}
}

// Remove removes a backend. Its connections stay.
func (b *Balancer) Remove(backend Backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ready, backend)
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
	for _, ready := range b.ready {
		if ready {
			n++
		}
	}
	return n
}

// Close stops the balancer and closes all connections.
func (b *Balancer) Close() error {
	close(b.done)
	err := b.listener.Close()
	b.mu.Lock()
	for c := range b.open {
		_ = c.Close() // may be closed already
	}
	b.mu.Unlock()
	b.tasks.Wait()
	return err
}

// probeAll probes the backends until the balancer is closed.
func (b *Balancer) probeAll() {
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
		case <-time.After(probeInterval):
		}
	}
}

func (b *Balancer) probe(backend Backend) {
	response, err := b.probes.Get(backend.ReadyURL)
	if err == nil {
		_ = response.Body.Close() // only the status code matters
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.ready[backend]; ok {
		b.ready[backend] = err == nil && response.StatusCode == http.StatusOK
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

// serve forwards a connection to the next ready backend that accepts it. A backend that
// refuses the connection is unready until its next probe.
func (b *Balancer) serve(client net.Conn) {
	defer b.untrack(client)
	b.track(client)
	for {
		backend, ok := b.next()
		if !ok {
			return
		}
		server, err := net.DialTimeout("tcp", backend.Address, timeout)
		if err != nil {
			b.mu.Lock()
			if _, ok := b.ready[backend]; ok { // not removed meanwhile
				b.ready[backend] = false
			}
			b.mu.Unlock()
			continue
		}
		defer b.untrack(server)
		b.track(server)
		pipe(client, server)
		return
	}
}

func (b *Balancer) next() (Backend, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.order {
		b.last++
		if backend := b.order[b.last%len(b.order)]; b.ready[backend] {
			return backend, true
		}
	}
	return Backend{}, false
}

func (b *Balancer) track(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[c] = true
}

func (b *Balancer) untrack(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
	_ = c.Close() // may be closed already
}

// pipe copies in both directions until one of them ends.
func pipe(a, b net.Conn) {
	done := make(chan struct{}, 2)
	for _, direction := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			_, _ = io.Copy(direction[0], direction[1]) // a broken connection has ended
			done <- struct{}{}
		}()
	}
	<-done
}
