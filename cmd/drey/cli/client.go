package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"drey.dev/drey/registry"
)

// client talks to a drey over REST.
type client struct {
	server    string
	token     string
	sendToken bool // also over http to other hosts
	authority string
	namespace string         // empty: see platform
	kubectl   kubectlCluster // for serverCluster
	cluster   *http.Client   // of the registry in it, once it was asked
}

// bind gives a command the flags that say where the server is. The environment
// says it for those that are not given.
func (c *client) bind(cmd *cobra.Command) {
	c.bindServer(cmd)
	cmd.PersistentFlags().StringVarP(&c.namespace, "namespace", "n", os.Getenv("DREY_NAMESPACE"), "platform namespace ($DREY_NAMESPACE; default: default or, with --server "+serverCluster+", that of kubectl's context)")
}

// platform is the platform namespace that is meant.
func (c *client) platform() string {
	switch {
	case c.namespace != "":
		return c.namespace
	case c.server == serverCluster:
		return c.kubectl.namespace()
	}
	return registry.DefaultNamespace
}

func (c *client) bindServer(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.server, "server", cmp.Or(os.Getenv("DREY_SERVER"), defaultServer()), "base URL of drey's REST API, or "+serverCluster+" for the registry in the cluster that kubectl would use ($DREY_SERVER)")
	f.StringVar(&c.token, "token", "", "API token ($DREY_TOKEN)")
	f.BoolVar(&c.sendToken, "insecure-send-token", false, "send the token over http to a host that is not loopback, where others can read it")
	c.kubectl.bind(f)
	f.StringVar(&c.authority, "certificate-authority", os.Getenv("DREY_CERTIFICATE_AUTHORITY"), "file with the CA of the server's certificate, in PEM ($DREY_CERTIFICATE_AUTHORITY; default: those of the system)")
}

func (c *client) hasToken() bool { return cmp.Or(c.token, os.Getenv("DREY_TOKEN")) != "" }

// path is that of a collection, or of one object in it.
func (c *client) path(collection string, name ...string) string {
	elements := []string{"/api/v1/namespaces", url.PathEscape(c.platform()), collection}
	for _, n := range name {
		elements = append(elements, url.PathEscape(n))
	}
	return strings.Join(elements, "/")
}

// do makes a request, and returns the answer's body and status. An answer that
// is no success is an error in the server's own words, with the exit code that
// goes with it.
func (c *client) do(ctx context.Context, method, path string, body []byte) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	server := c.server
	if server == serverCluster {
		server = "http://localhost"
	}
	if base, err := url.Parse(server); err == nil && (base.Scheme != "http" && base.Scheme != "https" || base.Host == "") {
		return nil, 0, &exitError{exitUsage, fmt.Errorf("--server is %q: give a base URL, such as http://127.0.0.1:8080", c.server)}
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(server, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, &exitError{exitUsage, fmt.Errorf("--server %s: %w", c.server, err)}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/yaml") // JSON is YAML too
	}
	if token := cmp.Or(c.token, os.Getenv("DREY_TOKEN")); token != "" {
		if strings.ContainsFunc(token, unicode.IsControl) {
			return nil, 0, &exitError{exitUsage, errors.New("--token or $DREY_TOKEN has a line break or the like in it, which no token has")}
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if c.server != serverCluster { // which no request to a server is made for
		if err := c.checkCredentials(request); err != nil {
			return nil, 0, err
		}
	}
	caller, err := c.caller()
	if err != nil {
		return nil, 0, &exitError{exitUsage, err}
	}
	response, err := caller.Do(request)
	if err != nil && c.server == serverCluster {
		err = errors.Unwrap(err) // which says no URL
		return nil, 0, &exitError{cmp.Or(codeOf(err), exitUnavailable), err}
	}
	if code := codeOf(err); code != 0 { // of a redirect
		return nil, 0, &exitError{code, errors.Unwrap(err)}
	}
	if err != nil {
		return nil, 0, &exitError{exitUnavailable, fmt.Errorf("drey does not answer: %w. Is it running? Say where with --server or $DREY_SERVER", err)}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, 0, &exitError{exitUnavailable, err}
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, response.StatusCode, refusal(response, answer)
	}
	return answer, response.StatusCode, nil
}

// caller is the cluster's registry itself, or trusts the CA that was given, if one was.
func (c *client) caller() (*http.Client, error) {
	if c.server == serverCluster {
		if c.cluster == nil {
			c.cluster = &http.Client{Transport: &inCluster{kubectl: c.kubectl, platform: c.platform()}}
		}
		return c.cluster, nil
	}
	redirect := func(r *http.Request, before []*http.Request) error {
		if len(before) >= mostRedirects {
			return fmt.Errorf("the server redirects more than %d times", mostRedirects)
		}
		return c.checkCredentials(r)
	}
	if c.authority == "" {
		return &http.Client{CheckRedirect: redirect}, nil
	}
	text, err := os.ReadFile(c.authority)
	if err != nil {
		return nil, fmt.Errorf("--certificate-authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--certificate-authority %s has no certificate in PEM", c.authority)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport, CheckRedirect: redirect}, nil
}

const mostRedirects = 10 // as net/http has it

// checkCredentials refuses to send a token or a password over http to another host, where
// every hop on the network can read it.
func (c *client) checkCredentials(r *http.Request) error {
	ip := net.ParseIP(r.URL.Hostname())
	switch {
	case c.sendToken, r.URL.Scheme == "https", r.URL.Hostname() == "localhost", ip != nil && ip.IsLoopback():
		return nil
	case r.Header.Get("Authorization") == "" && r.URL.User == nil:
		return nil
	}
	return &exitError{exitUsage, fmt.Errorf("token not sent: http to %s is not encrypted; use https, leave out the token, or give --insecure-send-token", r.URL.Host)}
}

func refusal(response *http.Response, answer []byte) error {
	var said struct{ Reason, Message string }
	err := fmt.Errorf("the server answers %s, which drey would not", response.Status)
	if json.Unmarshal(answer, &said) == nil && said.Message != "" {
		err = fmt.Errorf("%s (%s)", said.Message, said.Reason)
	}
	switch status := response.StatusCode; {
	case status == http.StatusNotFound:
		return &exitError{exitNotFound, err}
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return &exitError{exitUnavailable, err}
	default:
		return &exitError{exitRefused, err}
	}
}
