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
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
)

// client is a client of the REST API, or of the registry in the cluster through the
// same API.
type client struct {
	server            string
	token             string
	sendToken         bool // over http to hosts other than loopback
	authority         string
	platformNamespace string // empty: see platform
	namespace         string // Kubernetes namespace, with serverCluster alone
	kubectl           kubectlCluster
	cluster           *http.Client        // of serverCluster; nil before the first request
	warnings          rest.WarningHandler // nil: warnings of the server are not printed
	onlyREST          bool                // the registry in the cluster does not have what the command is for
	verbose           bool
	automatic         bool  // choose chose the server
	noCluster         error // why the registry is not in the cluster, after choose
}

// choose sets the server if neither a flag nor the environment does: the cluster of kubectl's
// context if it keeps the registry, else the address of a drey on this machine.
func (c *client) choose(notes io.Writer) {
	if c.server == "" && c.onlyREST {
		c.server = serverLoopback
	}
	if c.server == "" {
		c.server, c.automatic = serverLoopback, true
		if c.noCluster = c.kubectl.keepsRegistry(); c.noCluster == nil {
			c.server = serverCluster
		}
	}
	if !c.verbose {
		return
	}
	registry := c.server
	if c.server == serverCluster {
		registry = "the cluster of kubectl's context"
		if config, err := c.kubectl.config(); err == nil {
			registry = "the cluster at " + config.Host
		}
	}
	fmt.Fprintf(notes, "Registry: %s\n", registry)
}

// bind adds the flags of the server and of the platform namespace to a command.
func (c *client) bind(cmd *cobra.Command) {
	c.bindServer(cmd)
	f := cmd.PersistentFlags()
	f.StringVar(&c.platformNamespace, "platform-namespace", os.Getenv("DREY_PLATFORM_NAMESPACE"), "platform namespace ($DREY_PLATFORM_NAMESPACE; default: default or, with --server "+serverCluster+", the Kubernetes namespace)")
	f.StringVarP(&c.namespace, "namespace", "n", "", "with --server "+serverCluster+": Kubernetes namespace, which is the platform namespace there (default: that of kubectl's context)")
	cmd.MarkFlagsMutuallyExclusive("platform-namespace", "namespace")
	c.bindRun(cmd)
}

// bindRun makes a command and its subcommands choose the server, and print its warnings.
func (c *client) bindRun(cmd *cobra.Command) {
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		c.choose(cmd.ErrOrStderr())
		c.warnings = rest.NewWarningWriter(cmd.ErrOrStderr(), rest.WarningWriterOptions{Deduplicate: true})
		if c.namespace != "" && c.server != serverCluster {
			return &exitError{exitUsage, fmt.Errorf("-n is a Kubernetes namespace, and the server at %s has platform namespaces: use --platform-namespace %s", c.server, c.namespace)}
		}
		return nil
	}
}

// platform returns the platform namespace of a request.
func (c *client) platform() string {
	if c.server == serverCluster {
		return cmp.Or(c.namespace, c.platformNamespace, c.kubectl.namespace())
	}
	return cmp.Or(c.platformNamespace, registry.DefaultNamespace)
}

func (c *client) bindServer(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.server, "server", cmp.Or(os.Getenv("DREY_SERVER"), pluginServer()), "base URL of the REST API, or "+serverCluster+" for the registry in the cluster of kubectl's context ($DREY_SERVER; default: "+serverCluster+" if that keeps one, else "+serverLoopback+")")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "print which registry is used")
	f.StringVar(&c.token, "token", "", "API token ($DREY_TOKEN)")
	f.BoolVar(&c.sendToken, "insecure-send-token", false, "send the token unencrypted over http to a host other than loopback")
	c.kubectl.bind(f)
	f.StringVar(&c.authority, "certificate-authority", os.Getenv("DREY_CERTIFICATE_AUTHORITY"), "CA file of the server's certificate, in PEM ($DREY_CERTIFICATE_AUTHORITY; default: the system's CAs)")
}

func (c *client) hasToken() bool { return cmp.Or(c.token, os.Getenv("DREY_TOKEN")) != "" }

// statedPlatform returns the platform namespace of the flags or the environment, or "".
func (c *client) statedPlatform() string { return cmp.Or(c.namespace, c.platformNamespace) }

// path returns the path of a collection, or of an object in it.
func (c *client) path(collection string, name ...string) string {
	return c.pathIn(c.platform(), collection, name...)
}

// pathIn is path in a platform namespace.
func (c *client) pathIn(platformNamespace, collection string, name ...string) string {
	elements := []string{"/api/v1/namespaces", url.PathEscape(platformNamespace), collection}
	for _, n := range name {
		elements = append(elements, url.PathEscape(n))
	}
	return strings.Join(elements, "/")
}

// platforms returns the platform namespaces that the caller can read.
func (c *client) platforms(ctx context.Context) ([]string, error) {
	answer, _, err := c.do(ctx, http.MethodGet, "/namespaces/v1/namespaces", nil)
	if err != nil {
		return nil, err
	}
	var list struct{ Namespaces []struct{ Name string } }
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, err
	}
	var all []string
	for _, n := range list.Namespaces {
		all = append(all, strings.TrimPrefix(n.Name, "namespaces/"))
	}
	return all, nil
}

// requestTimeout bounds a request of the client.
const requestTimeout = 30 * time.Second

// do sends a request and returns the body and status of the response. A status that
// is not 2xx is an error with the server's message and the matching exit code.
func (c *client) do(ctx context.Context, method, path string, body []byte) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, 0, &exitError{exitUnavailable, err}
	}
	c.warn(response.Header)
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, response.StatusCode, responseError(response, answer)
	}
	return answer, response.StatusCode, nil
}

// send sends a request and returns the response, of any status. The caller closes its body.
func (c *client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	if c.server == "" { // of a completion
		c.choose(io.Discard)
	}
	server := c.server
	if server == serverCluster {
		server = "http://localhost"
	}
	if base, err := url.Parse(server); err == nil && (base.Scheme != "http" && base.Scheme != "https" || base.Host == "") {
		return nil, &exitError{exitUsage, fmt.Errorf("--server is %q: want a base URL, such as http://127.0.0.1:8080", c.server)}
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(server, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--server %s: %w", c.server, err)}
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/yaml") // JSON is YAML too
	}
	if token := cmp.Or(c.token, os.Getenv("DREY_TOKEN")); token != "" {
		if strings.ContainsFunc(token, unicode.IsControl) {
			return nil, &exitError{exitUsage, errors.New("--token or $DREY_TOKEN has a control character, such as a line break, in it")}
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if c.server != serverCluster { // no request leaves this process
		if err := c.checkCredentials(request); err != nil {
			return nil, err
		}
	}
	httpClient, err := c.httpClient()
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	response, err := httpClient.Do(request)
	if err != nil && c.server == serverCluster {
		err = errors.Unwrap(err) // without the URL
		return nil, &exitError{cmp.Or(codeOf(err), exitUnavailable), err}
	}
	if code := codeOf(err); code != 0 { // of a redirect
		return nil, &exitError{code, errors.Unwrap(err)}
	}
	if err != nil {
		return nil, &exitError{exitUnavailable, c.unreachable(err)}
	}
	return response, nil
}

// warn prints the Warning headers of a response, each text once, as kubectl does.
func (c *client) warn(header http.Header) {
	if c.warnings == nil {
		return
	}
	warnings, _ := utilnet.ParseWarningHeaders(header.Values("Warning")) // those of proxies may be malformed
	for _, w := range warnings {
		c.warnings.HandleWarningHeader(w.Code, w.Agent, w.Text)
	}
}

// unreachable returns the error of a request without a response.
func (c *client) unreachable(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("certificate of the server not trusted: %w; give its CA with --certificate-authority FILE", err)
	}
	if c.noCluster != nil {
		return fmt.Errorf("server unreachable: %w; nor does the cluster keep the registry: %w; set --server or $DREY_SERVER", err, c.noCluster)
	}
	return fmt.Errorf("server unreachable: %w; set --server or $DREY_SERVER", err)
}

// httpClient returns the client of the server: in process for serverCluster, else with
// the CAs of --certificate-authority.
func (c *client) httpClient() (*http.Client, error) {
	if c.server == serverCluster {
		if c.cluster == nil {
			c.cluster = &http.Client{Transport: &inCluster{kubectl: c.kubectl, platform: c.platform()}}
		}
		return c.cluster, nil
	}
	redirect := func(r *http.Request, before []*http.Request) error {
		if len(before) >= maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
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
		return nil, fmt.Errorf("--certificate-authority %s: no certificate in it; want PEM", c.authority)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport, CheckRedirect: redirect}, nil
}

const maxRedirects = 10 // net/http's default

// checkCredentials refuses to send a token or a password unencrypted off loopback.
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

// commandWords replaces remedies in terms of HTTP by those of the command line.
var commandWords = strings.NewReplacer(
	"or PUT to replace it", "or replace it with apply",
	"list yours with GET /namespaces/v1/namespaces, or create it with POST", "list yours with drey namespaces list, or create it with drey namespaces create",
	"GET the object, then try again", "get the object again, then apply the change",
	"GET it, apply the change to that, and try again", "get it, apply the change to that, and try again",
)

// responseError returns the error of a response that is not a success.
func responseError(response *http.Response, answer []byte) error {
	var problem struct{ Reason, Message string }
	err := fmt.Errorf("unexpected response: %s; --server is not the REST API of drey", response.Status)
	if json.Unmarshal(answer, &problem) == nil && problem.Message != "" {
		err = fmt.Errorf("%s (%s)", commandWords.Replace(problem.Message), problem.Reason)
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
