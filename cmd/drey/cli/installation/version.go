package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/registry/rest"
)

// newVersionCommand prints the versions of the program and of the server, as kubectl version.
func newVersionCommand(build rest.Build) *cobra.Command {
	c := client.Client{RESTOnly: true}
	var format output.Format
	var clientOnly bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the versions of this program and of the server", Args: command.Args(cobra.NoArgs),
		Long: `Print the version, commit and platform of this program, and the version and commit of the
server. The registry in a cluster has no version: drey status shows the image that runs there.`,
		Example: "  drey version\n  drey version --client -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Client: versionOf{build.Version, build.Commit, build.Time, runtime.GOOS + "/" + runtime.GOARCH}}
			var err error
			if !clientOnly {
				v.Server, err = serverVersion(cmd.Context(), &c)
			}
			return errors.Join(v.print(cmd, format), err)
		},
	}
	c.BindServer(cmd)
	c.BindRun(cmd)
	cmd.Flags().BoolVar(&clientOnly, "client", false, "the version of this program alone")
	format.Bind(cmd, output.Text, output.JSON)
	return cmd
}

type versions struct {
	Client versionOf  `json:"client"`
	Server *versionOf `json:"server,omitempty"`
}

type versionOf struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit
	Platform string `json:"platform,omitempty"`
}

// serverVersion reads the version from the REST API; nil: a registry in a cluster has none.
func serverVersion(ctx context.Context, c *client.Client) (*versionOf, error) {
	if c.Server == client.InCluster {
		return nil, nil
	}
	answer, _, err := c.Do(ctx, http.MethodGet, "/api/v1/status/system-info", nil)
	if err != nil {
		return nil, err
	}
	var info struct {
		Status struct {
			Revision struct {
				DreyVersion   string `json:"dreyVersion"`
				CommitShaLong string `json:"commitShaLong"`
				BuildTime     string `json:"buildTime"`
			} `json:"revisionInformation"`
		} `json:"status"`
	}
	if err := json.Unmarshal(answer, &info); err != nil {
		return nil, fmt.Errorf("unexpected response: %w", err)
	}
	r := info.Status.Revision
	return &versionOf{Version: r.DreyVersion, Commit: r.CommitShaLong, Time: r.BuildTime}, nil
}

func (v versions) print(cmd *cobra.Command, format output.Format) error {
	if format == output.JSON {
		return output.PrintJSON(cmd.OutOrStdout(), v)
	}
	text := fmt.Sprintf("Client: %s\n", v.Client)
	if v.Server != nil {
		text += fmt.Sprintf("Server: %s\n", *v.Server)
	}
	_, err := io.WriteString(output.Stdout(cmd), text)
	return err
}

// String returns the version, with its commit and platform if known.
func (v versionOf) String() string {
	text := v.Version
	if len(v.Commit) > 12 {
		text += ", commit " + v.Commit[:12]
	}
	if v.Platform != "" {
		text += ", " + v.Platform
	}
	return text
}
