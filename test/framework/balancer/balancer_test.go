package balancer_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"drey.dev/drey/test/framework/balancer"
	"drey.dev/drey/test/framework/eventually"
)

// backend replies to every line with its name.
type backend struct {
	balancer.Backend
	listener net.Listener
	unready  atomic.Bool
}

func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{}
	var err error
	if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := b.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintln(c, name)
				}
			}()
		}
	}()
	probes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if b.unready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(func() { probes.Close(); b.listener.Close() })
	b.Backend = balancer.Backend{Address: b.listener.Addr().String(), ReadyURL: probes.URL}
	return b
}

type connection struct {
	net.Conn
	*bufio.Reader
}

func connect(t *testing.T, b *balancer.Balancer) connection {
	t.Helper()
	c, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return connection{c, bufio.NewReader(c)}
}

func (c connection) backend() (string, error) {
	if _, err := fmt.Fprintln(c.Conn, "name?"); err != nil {
		return "", err
	}
	name, err := c.ReadString('\n')
	return strings.TrimSpace(name), err
}

func (c connection) mustBe(t *testing.T, want string) {
	t.Helper()
	if got, err := c.backend(); got != want {
		t.Errorf("reply of %q (%v), want %s", got, err, want)
	}
}

func await(t *testing.T, b *balancer.Balancer, ready int) {
	t.Helper()
	eventually.OK(t, func() error {
		if n := b.ReadyBackends(); n != ready {
			return fmt.Errorf("%d backends are ready, want %d", n, ready)
		}
		return nil
	})
}

// TestBalancer: connections go to ready backends, round-robin.
func TestBalancer(t *testing.T) {
	b, err := balancer.New()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := connect(t, b).backend(); err == nil {
		t.Error("a reply without a backend")
	}
	one, two := newBackend(t, "one"), newBackend(t, "two")
	b.Add(one.Backend)
	b.Add(two.Backend)
	await(t, b, 2)
	found := map[string]int{}
	for range 10 {
		name, err := connect(t, b).backend()
		if err != nil {
			t.Fatal(err)
		}
		found[name]++
	}
	if found["one"] != 5 || found["two"] != 5 {
		t.Error(found)
	}

	// An unready backend gets no connections and keeps its existing ones.
	var old connection
	for name := ""; name != "one"; {
		old = connect(t, b)
		name, _ = old.backend()
	}
	one.unready.Store(true)
	await(t, b, 1)
	for range 5 {
		connect(t, b).mustBe(t, "two")
	}
	old.mustBe(t, "one")

	// A killed backend is skipped before its next probe.
	one.unready.Store(false)
	await(t, b, 2)
	two.listener.Close()
	for range 5 {
		connect(t, b).mustBe(t, "one")
	}
	b.Remove(one.Backend)
	old.mustBe(t, "one")
	if _, err := connect(t, b).backend(); err == nil {
		t.Error("a reply without a running backend")
	}
}
