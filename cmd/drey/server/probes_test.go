package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

// TestShutdownDelay: after SIGTERM drey is not ready, but alive and serving, until the
// delay is over.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()                   // it waits for the delay
	const delay = 15 * time.Second // within which a slow machine sends a few requests
	addresses, err := drey.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	probes := addresses[0]
	d := startWith(t, t.TempDir(), "--health-probe-bind-address", probes, "--shutdown-delay", delay.String())
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 404, "/": 404} {
		if code, body := ask(t, "http://"+probes+path); code != want {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
	}
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop() }()
	eventually.OK(t, func() error {
		if code, body := ask(t, "http://"+probes+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "stopping") {
			return fmt.Errorf("still ready after SIGTERM: %d %s", code, body)
		}
		return nil
	})
	if code, body := ask(t, "http://"+probes+"/livez"); code != http.StatusOK {
		t.Errorf("not alive while it drains: %d %s", code, body)
	}
	if err := d.Register(t.Context(), "default", "late", "staging"); err != nil {
		t.Errorf("not served while it drains: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("%v\n%s", err, d.Log())
	}
	if took := time.Since(began); took < delay {
		t.Errorf("it ended after %s, before the drain was over", took)
	}
}

func TestShutdownDelayWithoutProbes(t *testing.T) {
	d := start(t, t.TempDir())
	if err := d.Stop(); err != nil || strings.Contains(d.Log(), "draining") {
		t.Errorf("%v\n%s", err, d.Log())
	}
}

func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// foreign is a certificate that is never issued: its Secret is not drey's.
type foreign struct{ certificates }

func (foreign) Ready() error {
	return errors.New("the Secret is not drey's: kubectl delete secret drey-certs")
}

// TestReadyzReportsStartup: /readyz names what startup waits for.
func TestReadyzReportsStartup(t *testing.T) {
	s := new(server)
	if err := s.notReady(); err == nil || err.Error() != "drey is starting" {
		t.Errorf("with nothing to wait for: %v", err)
	}
	s.setCertificates(foreign{})
	if err := s.notReady(); err == nil || !strings.Contains(err.Error(), "drey is starting: the Secret is not drey's: kubectl delete secret") {
		t.Errorf("without a certificate: %v", err)
	}
}
