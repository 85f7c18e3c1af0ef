// Package client is the client of the registry: of the REST API of a drey, or of the registry
// in a cluster through the same API in process.
package client

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
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/registry"
)

// Client is a client of the REST API, or of the registry in the cluster through the
// same API.
type Client struct {
	Server            string
	token             string
	sendToken         bool // over http to hosts other than loopback
	anonymous         bool // without the token
	authority         string
	PlatformNamespace string // empty: see Platform
	namespace         string // Kubernetes namespace, with serverCluster alone
	Kubectl           kubectl.Cluster
	cluster           *http.Client        // of serverCluster; nil before the first request
	warnings          rest.WarningHandler // nil: warnings of the server are not printed
	notes             *output.Screen      // standard error; nil before BindRun's hook
	RESTOnly          bool                // the registry in the cluster does not have what the command is for
	verbose           bool
	Automatic         bool  // Choose chose the server
	NoCluster         error // why the registry is not in the cluster, after Choose
}

// Choose sets the server if neither a flag nor the environment does: the cluster of kubectl's
// context if it keeps the registry, else the address of a drey on this machine.
func (c *Client) Choose(notes io.Writer) {
	if c.Server == "" && c.RESTOnly {
		c.Server = Loopback
	}
	if c.Server == "" {
		c.Server, c.Automatic = Loopback, true
		if c.NoCluster = c.Kubectl.KeepsRegistry(); c.NoCluster == nil {
			c.Server = InCluster
		}
	}
	if !c.verbose {
		return
	}
	fmt.Fprintf(notes, "Registry: %s\n", c.RegistryName())
}

// RegistryName returns the URL of the server, or the cluster with the registry.
func (c *Client) RegistryName() string {
	if c.Server != InCluster {
		return c.Server
	}
	config, err := c.Kubectl.Config()
	if err != nil {
		return "the cluster of kubectl's context"
	}
	return "the cluster at " + config.Host
}

// Bind adds the flags of the server and of the platform namespace to a command.
func (c *Client) Bind(cmd *cobra.Command) {
	c.BindServer(cmd)
	f := cmd.PersistentFlags()
	f.StringVar(&c.PlatformNamespace, "platform-namespace", os.Getenv("DREY_PLATFORM_NAMESPACE"), "platform namespace ($DREY_PLATFORM_NAMESPACE; default: default or, with --server "+InCluster+", the Kubernetes namespace)")
	f.StringVarP(&c.namespace, "namespace", "n", "", "with --server "+InCluster+": Kubernetes namespace, which is the platform namespace there (default: that of kubectl's context)")
	command.Complete(cmd, "platform-namespace", c.Completion(c.Platforms))
	command.Complete(cmd, "namespace", c.Kubectl.CompleteNamespaces)
	cmd.MarkFlagsMutuallyExclusive("platform-namespace", "namespace")
	c.BindRun(cmd)
}

// BindRun makes a command and its subcommands choose the server, and print its warnings.
func (c *Client) BindRun(cmd *cobra.Command) {
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		c.notes = output.Stderr(cmd)
		c.Choose(c.notes)
		c.warnings = rest.NewWarningWriter(c.notes, rest.WarningWriterOptions{Deduplicate: true})
		if c.namespace != "" && c.Server != InCluster {
			return command.WithCode(command.ExitUsage, fmt.Errorf("-n is a Kubernetes namespace, and the server at %s has platform namespaces: use --platform-namespace %s", c.Server, c.namespace))
		}
		return nil
	}
}

// Platform returns the platform namespace of a request.
func (c *Client) Platform() string {
	if c.Server == InCluster {
		return cmp.Or(c.namespace, c.PlatformNamespace, c.Kubectl.Namespace())
	}
	return cmp.Or(c.PlatformNamespace, registry.DefaultNamespace)
}

// BindServer adds the flags of the server to a command.
func (c *Client) BindServer(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.Server, "server", cmp.Or(os.Getenv("DREY_SERVER"), pluginServer()), "base URL of the REST API, or "+InCluster+" for the registry in the cluster of kubectl's context ($DREY_SERVER; default: "+InCluster+" if it serves drey.dev/v1, else "+Loopback+")")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "print which registry is used")
	f.StringVar(&c.token, "token", "", "API token ($DREY_TOKEN)")
	f.BoolVar(&c.sendToken, "insecure-send-token", false, "send the token unencrypted over http to a host other than loopback")
	c.Kubectl.Bind(cmd, f)
	command.Complete(cmd, "server", cobra.FixedCompletions([]string{InCluster, Loopback}, cobra.ShellCompDirectiveNoFileComp))
	f.StringVar(&c.authority, "certificate-authority", os.Getenv("DREY_CERTIFICATE_AUTHORITY"), "CA file of the server's certificate, in PEM ($DREY_CERTIFICATE_AUTHORITY; default: the system's CAs)")
}

// HasToken reports whether requests carry a token.
func (c *Client) HasToken() bool { return cmp.Or(c.token, os.Getenv("DREY_TOKEN")) != "" }

// StatedPlatform returns the platform namespace of the flags or the environment, or "".
func (c *Client) StatedPlatform() string { return cmp.Or(c.namespace, c.PlatformNamespace) }

// Path returns the path of a collection, or of an object in it.
func (c *Client) Path(collection string, name ...string) string {
	return c.PathIn(c.Platform(), collection, name...)
}

// PathIn is path in a platform namespace.
func (c *Client) PathIn(platformNamespace, collection string, name ...string) string {
	elements := []string{"/api/v1/namespaces", url.PathEscape(platformNamespace), collection}
	for _, n := range name {
		elements = append(elements, url.PathEscape(n))
	}
	return strings.Join(elements, "/")
}

// Platforms returns the platform namespaces that the caller can read.
func (c *Client) Platforms(ctx context.Context) ([]string, error) {
	answer, _, err := c.Do(ctx, http.MethodGet, "/namespaces/v1/namespaces", nil)
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

// Completion completes arguments with what list returns from the registry.
func (c *Client) Completion(list func(context.Context) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c.Choose(io.Discard)
		names, err := list(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// RequestTimeout bounds a request of the client.
const RequestTimeout = 30 * time.Second

// Do sends a request and returns the body and status of the response. A status that
// is not 2xx is an error with the server's message and the matching exit code.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	stop := c.notes.Progress("Waiting for " + c.RegistryName())
	defer stop()
	response, err := c.Send(ctx, method, path, body)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, 0, c.unreachable(ctx, fmt.Errorf("read the response: %w", err))
	}
	stop()
	c.warn(response.Header)
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, response.StatusCode, c.ResponseError(response, answer)
	}
	if !json.Valid(answer) && len(answer) > 0 {
		return nil, response.StatusCode, command.WithCode(command.ExitUnavailable, c.foreign(response))
	}
	return answer, response.StatusCode, nil
}

// Send sends a request and returns the response, of any status. The caller closes its body.
func (c *Client) Send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	server := c.Server
	if server == InCluster {
		server = "http://localhost"
	}
	if base, err := url.Parse(server); err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, command.WithCode(command.ExitUsage, fmt.Errorf("--server is %q: want a base URL, such as http://127.0.0.1:8080", c.Server))
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(server, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, command.WithCode(command.ExitUsage, fmt.Errorf("--server %s: %w", c.Server, err))
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/yaml") // JSON is YAML too
	}
	if token := cmp.Or(c.token, os.Getenv("DREY_TOKEN")); token != "" && !c.anonymous {
		if strings.ContainsFunc(token, unicode.IsControl) {
			return nil, command.WithCode(command.ExitUsage, errors.New("--token or $DREY_TOKEN has a control character, such as a line break, in it"))
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if c.Server != InCluster { // no request leaves this process
		if err := c.checkCredentials(request); err != nil {
			return nil, err
		}
	}
	httpClient, err := c.httpClient()
	if err != nil {
		return nil, command.WithCode(command.ExitUsage, err)
	}
	response, err := httpClient.Do(request)
	if err != nil && c.Server == InCluster {
		err = errors.Unwrap(err) // without the URL
		return nil, command.WithCode(cmp.Or(command.CodeOf(err), command.ExitUnavailable), err)
	}
	if code := command.CodeOf(err); code != 0 { // of a redirect
		return nil, command.WithCode(code, errors.Unwrap(err))
	}
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return response, nil
}

// AcceptsAnonymous reports whether the server lists platform namespaces without a token.
func (c *Client) AcceptsAnonymous(ctx context.Context) bool {
	anonymous := *c
	anonymous.anonymous, anonymous.warnings = true, nil
	_, err := anonymous.Platforms(ctx)
	return err == nil
}

// warn prints the Warning headers of a response, each text once, as kubectl does.
func (c *Client) warn(header http.Header) {
	if c.warnings == nil {
		return
	}
	warnings, _ := utilnet.ParseWarningHeaders(header.Values("Warning")) // those of proxies may be malformed
	for _, w := range warnings {
		c.warnings.HandleWarningHeader(w.Code, w.Agent, w.Text)
	}
}

// Warn prints a warning, as those of the server.
func (c *Client) Warn(text string) {
	if c.warnings != nil {
		c.warnings.HandleWarningHeader(miscWarning, "-", text)
	}
}

const miscWarning = 299 // the code of the warnings of Kubernetes, which are printed

// unreachable returns the error of a request without a response.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err // without the path of the REST API
	}
	switch ctx.Err() {
	case context.Canceled:
		return command.WithCode(command.ExitInterrupted, errors.New("interrupted"))
	case context.DeadlineExceeded:
		err = fmt.Errorf("no response within %s", RequestTimeout)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return command.WithCode(command.ExitUsage, fmt.Errorf("certificate of %s not trusted: %w; give its CA with --certificate-authority FILE", c.Server, err))
	}
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return command.WithCode(command.ExitUsage, fmt.Errorf("certificate of %s not valid: %w; set --server to a name of the certificate, or renew it", c.Server, invalid.Err))
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") { // an unexported error of net/http
		return command.WithCode(command.ExitUsage, fmt.Errorf("%s does not speak TLS: set --server http://%s", c.Server, strings.TrimPrefix(c.Server, "https://")))
	}
	return command.WithCode(command.ExitUnavailable, c.noServer(err))
}

// noServer returns the error of a server that does not answer.
func (c *Client) noServer(err error) error {
	if c.NoCluster != nil {
		return fmt.Errorf("no drey found: %s does not answer (%w), and %w; use drey install for a cluster, drey serve for this machine, or --server for another one", c.Server, err, c.NoCluster)
	}
	return fmt.Errorf("%s unreachable: %w; set --server or $DREY_SERVER", c.Server, err)
}

// foreign returns the error of a response that is not of drey's REST API.
func (c *Client) foreign(response *http.Response) error {
	what := response.Status
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err == nil && kind != "application/json" {
		what += ", " + kind
	}
	return fmt.Errorf("response of %s is not of drey's REST API: %s; check --server, and the login of a proxy before it", response.Request.URL.Host, what)
}

// httpClient returns the client of the server: in process for serverCluster, else with
// the CAs of --certificate-authority.
func (c *Client) httpClient() (*http.Client, error) {
	if c.Server == InCluster {
		if c.cluster == nil {
			c.cluster = &http.Client{Transport: &inCluster{kubectl: c.Kubectl, platform: c.Platform()}}
		}
		return c.cluster, nil
	}
	redirect := func(r *http.Request, before []*http.Request) error {
		if len(before) >= maxRedirects {
			return fmt.Errorf("more than %d redirects, the last to %s", maxRedirects, r.URL.Redacted())
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
func (c *Client) checkCredentials(r *http.Request) error {
	ip := net.ParseIP(r.URL.Hostname())
	switch {
	case c.sendToken, r.URL.Scheme == "https", r.URL.Hostname() == "localhost", ip != nil && ip.IsLoopback():
		return nil
	case r.Header.Get("Authorization") == "" && r.URL.User == nil:
		return nil
	}
	return command.WithCode(command.ExitUsage, fmt.Errorf("token not sent: http to %s is not encrypted; use https, leave out the token, or give --insecure-send-token", r.URL.Host))
}

// commandWords replaces remedies in terms of HTTP by those of the command line.
var commandWords = strings.NewReplacer(
	"PUT to replace it", "replace it with apply",
	"send the header Authorization: Bearer TOKEN", "give --token or set $DREY_TOKEN",
	"list yours with GET /namespaces/v1/namespaces, or create it with POST", "list yours with drey namespaces list, or create it with drey namespaces create",
	"GET the object, then try again", "get the object again, then apply the change",
	"GET it, apply the change to that, and try again", "get it, apply the change to that, and try again",
)

// ResponseError returns the error of a response that is not a success.
func (c *Client) ResponseError(response *http.Response, answer []byte) error {
	var problem struct{ Reason, Message string }
	err := c.foreign(response)
	if json.Unmarshal(answer, &problem) == nil && problem.Message != "" {
		err = fmt.Errorf("%s (%s)", commandWords.Replace(problem.Message), problem.Reason)
	}
	switch status := response.StatusCode; {
	case status == http.StatusNotFound:
		return command.WithCode(command.ExitNotFound, err)
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return command.WithCode(command.ExitUnavailable, err)
	default:
		return command.WithCode(command.ExitRefused, err)
	}
}
