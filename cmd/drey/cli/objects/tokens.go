package objects

import (
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
		Long: "List, create and delete the API tokens of a platform namespace or, with --platform-namespace '*', of all.",
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

func newTokenList(c *client.Client) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the API tokens of a platform namespace", Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, _, err := c.Do(cmd.Context(), http.MethodGet, tokenPath(c), nil)
			if err != nil {
				return err
			}
			var list struct {
				Tokens []apiToken `json:"apiTokens"`
			}
			if err := json.Unmarshal(answer, &list); err != nil {
				return err
			}
			table := output.NewTable(output.Stdout(cmd), "NAME", "ROLE", "AGE")
			for _, t := range list.Tokens {
				table.Row(path.Base(t.Name), t.Role, output.Age(t.CreateTime, time.Now()))
			}
			return table.Flush()
		},
	}
}

func newTokenCreate(c *client.Client) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Create an API token and print its secret, which is shown once", Args: command.Args(cobra.ExactArgs(1)),
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
			_, err = fmt.Fprintln(output.Stdout(cmd), made.Token.Secret) // alone, for scripts
			return err
		},
	}
	command.Choice(cmd, cmd.Flags(), &role, "role", "", "viewer, editor or owner", "viewer", "editor", "owner")
	return cmd
}

func newTokenDelete(c *client.Client) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME...", Short: "Delete API tokens, which are invalid at once", Args: command.Args(cobra.MinimumNArgs(1)),
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
