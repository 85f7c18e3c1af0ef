package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/output"
)

// apiToken is an API token in the form of the REST API.
type apiToken struct {
	Name       string `json:"name"`
	Secret     string `json:"secret"`
	Role       string `json:"role"`
	CreateTime string `json:"createTime"`
}

// newTokensCommand returns the commands of API tokens, which differ from objects on the
// wire.
func newTokensCommand() *cobra.Command {
	c := &client.Client{RESTOnly: true}
	group := &cobra.Command{
		Use: "tokens", Short: "List, create and delete API tokens",
		Long: `List, create and delete the API tokens of a platform namespace or, with
--platform-namespace '*', of all. A server without authentication stores tokens but does not
require them.`,
		Example: "  drey tokens list\n  drey tokens create ci --role editor\n  drey tokens delete ci",
	}
	command.Group(group)
	c.Bind(group)
	group.AddCommand(newTokenList(c), newTokenCreate(c), newTokenDelete(c))
	return group
}

func tokenPath(c *client.Client, name ...string) string {
	elements := []string{"/apitokens/v1/namespaces", url.PathEscape(c.Platform()), "apitokens"}
	for _, n := range name {
		elements = append(elements, url.PathEscape(n))
	}
	return strings.Join(elements, "/")
}

func listTokens(ctx context.Context, c *client.Client) ([]apiToken, error) {
	answer, _, err := c.Do(ctx, http.MethodGet, tokenPath(c), nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Tokens []apiToken `json:"apiTokens"`
	}
	err = json.Unmarshal(answer, &list)
	return list.Tokens, err
}

func tokenNames(ctx context.Context, c *client.Client) ([]string, error) {
	tokens, err := listTokens(ctx, c)
	var names []string
	for _, t := range tokens {
		names = append(names, path.Base(t.Name))
	}
	return names, err
}

func newTokenList(c *client.Client) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the API tokens of a platform namespace",
		Long:    "List the API tokens of a platform namespace, without their secrets.",
		Example: "  drey tokens list\n  drey tokens list --platform-namespace '*'", Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tokens, err := listTokens(cmd.Context(), c)
			if err != nil {
				return err
			}
			table := output.NewTable(output.Stdout(cmd), "NAME", "ROLE", "AGE")
			for _, t := range tokens {
				table.Row(path.Base(t.Name), t.Role, output.Age(t.CreateTime, time.Now()))
			}
			return table.Flush()
		},
	}
}

func newTokenCreate(c *client.Client) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Create an API token and print its secret, which is shown once",
		Long: `Create an API token and print only its secret to standard output. The server stores a hash of
it, so it is shown once. Clients send it by --token or $DREY_TOKEN.`,
		Example: "  drey tokens create ci --role editor\n  export DREY_TOKEN=$(drey tokens create me --role owner)", Args: command.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := json.Marshal(map[string]string{"name": args[0], "role": role})
			if err != nil {
				return err
			}
			answer, _, err := c.Do(cmd.Context(), http.MethodPost, tokenPath(c), body)
			if err != nil {
				return err
			}
			var made struct {
				Token apiToken `json:"apiToken"`
			}
			if err := json.Unmarshal(answer, &made); err != nil {
				return err
			}
			if c.AcceptsAnonymous(cmd.Context()) {
				fmt.Fprintf(cmd.ErrOrStderr(), "Warning: %s accepts requests without a token, so this one has no effect: restart it with drey serve --rest-auth tokens\n", c.Server)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), made.Token.Secret) // alone, for scripts
			return err
		},
	}
	command.Choice(cmd, cmd.Flags(), &role, "role", "", "viewer, editor or owner", "viewer", "editor", "owner")
	return cmd
}

func newTokenDelete(c *client.Client) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME...", Short: "Delete API tokens, which are invalid at once",
		Long:              "Delete API tokens. Requests with them are rejected at once.",
		Example:           "  drey tokens delete ci",
		ValidArgsFunction: c.Completion(func(ctx context.Context) ([]string, error) { return tokenNames(ctx, c) }), Args: command.Args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, name := range args {
				_, _, err := c.Do(cmd.Context(), http.MethodDelete, tokenPath(c, name), nil)
				if err == nil {
					_, err = fmt.Fprintf(output.Stdout(cmd), "apitoken/%s deleted\n", name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}
