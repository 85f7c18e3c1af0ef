package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

func TestServeWithoutCluster(t *testing.T) {
	d := start(t, t.TempDir())
	if !strings.Contains(d.Log(), "no cluster: serving the registry alone") {
		t.Errorf("the log does not say so: %s", d.Log())
	}
	if err := d.Register(t.Context(), "default", "myDeploymentTarget", "staging"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok",
		"/metrics": `drey_rest_requests_total{code="201",method="POST",route="/api/v1/namespaces/{namespace}/deployment-targets"} 1`,
	} {
		if got := get(t, d.Metrics+path); !strings.Contains(got, want) {
			t.Errorf("%s does not have %q: %s", path, want, got)
		}
	}
	if got := get(t, d.Metrics+"/metrics"); !strings.Contains(got, "drey_targets 1\n") {
		t.Errorf("the target is not counted: %s", got)
	}
	if err := d.Stop(); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, d.Log())
	}
}

func TestServeKilledKeepsAcknowledgedWrites(t *testing.T) {
	dir := t.TempDir()
	d := start(t, dir)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("w%d-%d", w, i)
				if d.Register(t.Context(), "default", name, "staging") != nil {
					return
				}
				mu.Lock()
				acknowledged[name] = true
				mu.Unlock()
			}
		})
	}
	eventually.OK(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(acknowledged) < 8 {
			return fmt.Errorf("only %d writes were acknowledged", len(acknowledged))
		}
		return nil
	})
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	list := get(t, start(t, dir).REST+"/api/v1/namespaces/default/deployment-targets")
	for name := range acknowledged {
		if !strings.Contains(list, `"name":"`+name+`"`) {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
}

func TestServeStopFinishesRequestInFlight(t *testing.T) {
	d := start(t, t.TempDir())
	body, w := io.Pipe()
	answered, begun := make(chan string, 1), make(chan struct{})
	go func() {
		reading := &httptrace.ClientTrace{Got100Continue: func() { close(begun) }} // drey asks for the body
		request, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), reading), http.MethodPost, d.REST+"/api/v1/namespaces/default/deployment-targets", body)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Expect", "100-continue")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		answered <- response.Status
	}()
	if _, err := io.WriteString(w, `{"metadata":{"name":"late"},`); err != nil {
		t.Fatal(err)
	}
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop() }()
	eventually.OK(t, func() error {
		if log := d.Log(); !strings.Contains(log, "stopping") {
			return errors.New(log)
		}
		return nil
	})
	if _, err := io.WriteString(w, `"spec":{"kubernetes":{"namespace":"staging"}}}`); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got := <-answered; got != "201 Created" {
		t.Errorf("got %s", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("%v\n%s", err, d.Log())
	}
}

// TestServeInvalidOptions: each is refused with the fix.
func TestServeInvalidOptions(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := t.TempDir()
	start(t, used)
	notADir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notADir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--rest-bind-address", "127.0.0.1:0", "--metrics-bind-address", "127.0.0.1:0"}
	for rule, c := range map[string]struct {
		args []string
		says []string
	}{
		"REST on every interface":          {[]string{"--rest-bind-address", ":8080"}, []string{"--rest-bind-address :8080", "--rest-tls-cert FILE --rest-tls-key FILE", "--rest-auth tokens", "127.0.0.1"}},
		"REST on another address":          {[]string{"--rest-bind-address", "192.0.2.1:8080"}, []string{"--rest-bind-address 192.0.2.1:8080"}},
		"REST off loopback without TLS":    {[]string{"--rest-bind-address", "0.0.0.0:8080", "--rest-auth", "tokens"}, []string{"add --rest-tls-cert FILE --rest-tls-key FILE"}},
		"REST off loopback without auth":   {[]string{"--rest-bind-address", "0.0.0.0:8080", "--rest-tls-cert", "c", "--rest-tls-key", "k"}, []string{"add --rest-auth tokens"}},
		"REST off loopback, auth said off": {[]string{"--rest-bind-address", "0.0.0.0:8080", "--rest-tls-cert", "c", "--rest-tls-key", "k", "--rest-auth", "off"}, []string{"add --rest-auth tokens"}},
		"auth that does not exist":         {[]string{"--rest-auth", "passwords"}, []string{`"passwords"`, "tokens,cluster"}},
		"auth on and off":                  {[]string{"--rest-auth", "tokens,off"}, []string{"off cannot be combined"}},
		"no auth at all":                   {[]string{"--rest-auth", ""}, []string{"--rest-auth is empty"}},
		"auth by no cluster":               {append(free, "--rest-auth", "cluster"), []string{"--kubeconfig"}},
		"a certificate without a key":      {[]string{"--rest-tls-cert", "c"}, []string{"--rest-tls-key"}},
		"a certificate that is not there":  {append(free, "--rest-tls-cert", "c", "--rest-tls-key", "k"), []string{"--rest-tls-cert c"}},
		"an owner's token without tokens":  {[]string{"--new-owner-token"}, []string{"--rest-auth tokens"}},
		"metrics for all and no cluster":   {[]string{"--metrics-bind-address", "0.0.0.0:8081"}, []string{"--metrics-bind-address", "loopback", "--kubeconfig"}},
		"webhooks' TLS and no webhooks":    {[]string{"--rest-tls"}, []string{"--rest-tls-cert FILE", "--kubeconfig"}},
		"two certificates of REST":         {[]string{"--rest-tls", "--rest-tls-cert", "c", "--rest-tls-key", "k"}, []string{"give one of them"}},
		"probes without a port":            {[]string{"--health-probe-bind-address", "0.0.0.0"}, []string{"--health-probe-bind-address", "port"}},
		"a drain that is over already":     {[]string{"--shutdown-delay", "-1s"}, []string{"--shutdown-delay", "0s"}},
		"an address without a port":        {[]string{"--rest-bind-address", "127.0.0.1"}, []string{"--rest-bind-address", "port"}},
		"webhooks by the URL of no host":   {[]string{"--install-webhooks"}, []string{"--webhook-bind-address", "127.0.0.1:9443"}},
		"traces to no URL":                 {[]string{"--traces-endpoint", "collector:4318"}, []string{"--traces-endpoint", "http://otel-collector:4318"}},
		"more traces than requests":        {[]string{"--traces-endpoint", "http://c:4318/v1/traces", "--traces-ratio", "2"}, []string{"--traces-ratio", "0 to 1"}},
		"webhooks without a cluster":       {[]string{"--install-webhooks", "--webhook-bind-address", "127.0.0.1:9443"}, []string{"--install-webhooks", "--kubeconfig"}},
		"an address that is taken":         {[]string{"--rest-bind-address", taken.Addr().String()}, []string{"address already in use"}},
		"a file that another process has":  {append(free, "--data-dir", used), []string{"another process", "--data-dir"}},
		"a data directory that is a file":  {append(free, "--data-dir", notADir), []string{"not a directory"}},
		"a kubeconfig that is not there":   {append(free, "--kubeconfig", "nowhere"), []string{"--kubeconfig nowhere"}},
		"a log format that does not exist": {[]string{"--log-format", "xml"}, []string{"--log-format", "text or json"}},
		"a log level that does not exist":  {[]string{"--log-level", "loud"}, []string{"--log-level", "debug"}},
		"a platform namespace of no name":  {append(free, "--platform-namespace", "No_Name"), []string{"No_Name", "platform namespace"}},
		"a quota below nothing":            {[]string{"--platform-namespace-quota", "-1Mi"}, []string{"--platform-namespace-quota", "32Mi"}},
		"a quota of no size":               {[]string{"--platform-namespace-quota", "much"}, []string{"--platform-namespace-quota", "much"}},
		"a version of no numbers":          {[]string{"--vvp-version", "latest"}, []string{`"latest"`, "2.6.1"}},
		"certificates of nowhere":          {[]string{"--certs", "letsencrypt"}, []string{`"letsencrypt"`, "auto, cert-manager, self-signed or memory"}},
		"TLS that is too old":              {[]string{"--webhook-tls-min-version", "1.1"}, []string{`"1.1"`, "1.3 or 1.2"}},
		"a client's name and no CA":        {[]string{"--webhook-client-name", "apiserver"}, []string{"--webhook-client-ca"}},
		"an argument too many":             {[]string{"now"}, []string{"now"}},
	} {
		t.Run(rule, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program, append([]string{"serve", "--data-dir", t.TempDir()}, c.args...)...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(eventually.Timeout, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
			want := exitUsage // except for errors of the environment
			if c.args[1%len(c.args)] == free[1] || c.args[1%len(c.args)] == taken.Addr().String() {
				want = exitFailure
			}
			if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != want {
				t.Fatalf("got %v, want exit code %d\n%s", err, want, &out)
			}
			for _, part := range c.says {
				if !strings.Contains(out.String(), part) {
					t.Errorf("got %s, want %q in it", &out, part)
				}
			}
		})
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	_, body := ask(t, url)
	return body
}

// TestServeChosenPort: with port 0 the log has the addresses that drey serves.
func TestServeChosenPort(t *testing.T) {
	t.Parallel()
	d := startWith(t, t.TempDir(), "--rest-bind-address", "127.0.0.1:0", "--health-probe-bind-address", "localhost:0", "--shutdown-delay", "0s")
	port := chosenPort(t, d)
	if got := get(t, "http://127.0.0.1:"+port+"/api/v1/namespaces/default/deployment-targets"); !strings.Contains(got, `"items":[]`) {
		t.Errorf("port %s: got %s, want an empty list", port, got)
	}
}

// chosenPort returns the port of the REST API from the log.
func chosenPort(t *testing.T, d *drey.Drey) string {
	t.Helper()
	found := regexp.MustCompile(`rest=https?://[0-9.]+:([1-9][0-9]*)`).FindStringSubmatch(d.Log())
	if found == nil {
		t.Fatalf("got no address of the REST API in\n%s", d.Log())
	}
	return found[1]
}
