package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/output"
)

// platformNamespace is a platform namespace in a response.
type platformNamespace struct {
	Name         string            `json:"name"`
	RoleBindings []json.RawMessage `json:"roleBindings"`
	CreateTime   string            `json:"createTime"`
}

// newNamespacesCommand returns the commands of platform namespaces, which differ from
// objects in the REST API.
func newNamespacesCommand() *cobra.Command {
	c := &client.Client{}
	group := command.Group(&cobra.Command{
		Use: "namespaces", Short: "List, get, create and delete platform namespaces",
		Long: `A platform namespace is a tenant of the registry: it has DeploymentTargets, Deployments,
SessionClusters and role bindings. With --server cluster it is the Kubernetes namespace of its
name, and kubectl creates and deletes it.`,
		Example: "  drey namespaces list\n  drey namespaces create team-a",
	})
	c.BindServer(group)
	c.BindRun(group)
	group.AddCommand(newNamespaceGet(c, "list"), newNamespaceGet(c, "get [NAME]"), newNamespaceCreate(c), newNamespaceDelete(c))
	return group
}

func namespacePath(name ...string) string {
	elements := []string{"/namespaces/v1/namespaces"}
	for _, n := range name {
		elements = append(elements, url.PathEscape(n))
	}
	return strings.Join(elements, "/")
}

func newNamespaceGet(c *client.Client, use string) *cobra.Command {
	var format output.Format
	cmd := &cobra.Command{
		Use: use, Short: "List platform namespaces",
		Long:    "List the platform namespaces that you can read, or get one.",
		Example: "  drey namespaces " + strings.Replace(use, "[NAME]", "team-a", 1) + "\n  drey namespaces list -o yaml", Args: command.Args(cobra.MaximumNArgs(1)), ValidArgsFunction: c.Completion(c.Platforms),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, _, err := c.Do(cmd.Context(), http.MethodGet, namespacePath(args...), nil)
			if err != nil {
				return err
			}
			if format.IsDocument() {
				return format.PrintDocument(output.Stdout(cmd), answer)
			}
			var list struct {
				Namespaces []platformNamespace `json:"namespaces"`
				Namespace  platformNamespace   `json:"namespace"`
			}
			if err := json.Unmarshal(answer, &list); err != nil {
				return err
			}
			if len(args) == 1 {
				list.Namespaces = []platformNamespace{list.Namespace}
			}
			return printNamespaces(cmd, format, list.Namespaces)
		},
	}
	if use == "list" {
		cmd.Args = command.Args(cobra.NoArgs)
	}
	format.Bind(cmd, output.Table, output.JSON, output.YAML, output.Name)
	return cmd
}

func printNamespaces(cmd *cobra.Command, format output.Format, all []platformNamespace) error {
	table := output.NewTable(output.Stdout(cmd), "NAME", "ROLE BINDINGS", "AGE")
	for _, n := range all {
		name := strings.TrimPrefix(n.Name, "namespaces/")
		if format == output.Name {
			fmt.Fprintf(cmd.OutOrStdout(), "namespace/%s\n", name)
			continue
		}
		table.Row(name, strconv.Itoa(len(n.RoleBindings)), output.Age(n.CreateTime, time.Now()))
	}
	if format == output.Name {
		return nil
	}
	return table.Flush()
}

func newNamespaceCreate(c *client.Client) *cobra.Command {
	return &cobra.Command{
		Use: "create NAME", Short: "Create a platform namespace",
		Long:    "Create a platform namespace of a server.",
		Example: "  drey namespaces create team-a", Args: command.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := json.Marshal(map[string]string{"name": args[0]})
			if err != nil {
				return err
			}
			if _, _, err := c.Do(cmd.Context(), http.MethodPost, namespacePath(), body); err != nil {
				return err
			}
			_, err = fmt.Fprintf(output.Stdout(cmd), "namespace/%s created\n", args[0])
			return err
		},
	}
}

func newNamespaceDelete(c *client.Client) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME...", Short: "Delete platform namespaces without objects",
		Long:    "Delete platform namespaces of a server. One with objects is not deleted.",
		Example: "  drey namespaces delete team-a", Args: command.Args(cobra.MinimumNArgs(1)), ValidArgsFunction: c.Completion(c.Platforms),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, name := range args {
				_, _, err := c.Do(cmd.Context(), http.MethodDelete, namespacePath(name), nil)
				if err == nil {
					_, err = fmt.Fprintf(output.Stdout(cmd), "namespace/%s deleted\n", name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}
