package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"drey.dev/drey/certs"
	"drey.dev/drey/test/framework/drey"
)

// references are the servers that drey is compared with, by the argument that runs them.
var references = map[string]func(address string) error{"noop": serveNoop, "idle": serveIdle}

// serveNoop serves the no-op webhook: it reads the body of a review and allows it, with the
// same TLS as drey. At /patch its answer has a constant patch. It exits at the end of standard input, and so with its parent.
func serveNoop(address string) error {
	c, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var calls atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, calls.Load()) })
	answer := func(more string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			body := make([]byte, max(r.ContentLength, 0))
			if _, err := io.ReadFull(r.Body, body); err != nil {
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":%q,"allowed":true%s}}`, uid(body), more)
		}
	}
	mux.Handle("POST /", answer(""))
	mux.Handle("POST /patch", answer(`,"patchType":"JSONPatch","patch":"`+base64.StdEncoding.EncodeToString([]byte(constantPatch))+`"`))
	fmt.Printf("%s\n%s\n", listener.Addr(), strings.ReplaceAll(string(c.CABundle()), "\n", "|"))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	server.TLSConfig = &tls.Config{GetCertificate: c.GetCertificate, MinVersion: tls.VersionTLS13}
	return server.ServeTLS(listener, "", "")
}

// constantPatch adds four labels, as many as drey adds to a pod whose job is not known.
const constantPatch = `[{"op":"add","path":"/metadata/labels/drey.dev~1app","value":"flink-job"},{"op":"add","path":"/metadata/labels/system","value":"ververica-platform"},` +
	`{"op":"add","path":"/metadata/labels/vvpNamespace","value":"default"},{"op":"add","path":"/metadata/labels/deploymentName","value":"top-speed"}]`

// serveIdle responds to each request with the number of bytes of a target. It exits with its
// parent.
func serveIdle(address string) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	answer := bytes.Repeat([]byte("x"), 400)
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(answer)
	})}
	return server.ListenAndServe()
}

// startIdle starts serveIdle in a new process.
func startIdle(ctx context.Context) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addresses, err := drey.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	address := addresses[0]
	p := &process{cmd: exec.CommandContext(ctx, self, "idle", address), url: "http://" + address, log: &bytes.Buffer{}}
	if _, err := p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, p.await(ctx, p.url)
}

// uid returns the uid of the request in a review.
func uid(review []byte) []byte {
	_, after, _ := bytes.Cut(review, []byte(`"uid":"`))
	before, _, _ := bytes.Cut(after, []byte(`"`))
	return before
}

// noopServer is the no-op webhook in its own process.
type noopServer struct {
	url      string
	caBundle []byte
	cmd      *exec.Cmd
	stdin    io.Closer
}

// startNoop starts serveNoop in a new process.
func startNoop(ctx context.Context) (*noopServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &noopServer{cmd: exec.CommandContext(ctx, self, "noop", "127.0.0.1:0")}
	n.cmd.Stderr = os.Stderr
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	address, err := lines.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("start the no-op webhook: %w", err)
	}
	ca, err := lines.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n.url = "https://" + strings.TrimSpace(address) + "/"
	n.caBundle = []byte(strings.ReplaceAll(strings.TrimSpace(ca), "|", "\n"))
	return n, nil
}

func (n *noopServer) pid() int { return n.cmd.Process.Pid }

// calls returns the number of reviews so far.
func (n *noopServer) calls(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"calls", nil)
	if err != nil {
		return "", err
	}
	response, err := newClient(false).Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func (n *noopServer) stop() error {
	_ = n.stdin.Close()
	return n.cmd.Wait()
}

// newClient returns a client with a single connection, for the benchmark's own servers.
func newClient(http2 bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: http2,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		MaxConnsPerHost:   1, MaxIdleConnsPerHost: 1,
	}}
}
