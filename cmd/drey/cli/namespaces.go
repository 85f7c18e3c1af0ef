package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
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
	c := &client{}
	group := onlyGroups(&cobra.Command{Use: "namespaces", Short: "List, get, create and delete platform namespaces"})
	c.bindServer(group)
	c.bindRun(group)
	group.AddCommand(newNamespaceGet(c, "list", "list"), newNamespaceGet(c, "get", "get [NAME]"), newNamespaceCreate(c), newNamespaceDelete(c))
	return group
}

func namespacePath(name ...string) string {
	elements := []string{"/namespaces/v1/namespaces"}
	for _, n := range name {
		elements = append(elements, url.PathEscape(n))
	}
	return strings.Join(elements, "/")
}

func newNamespaceGet(c *client, command, use string) *cobra.Command {
	var format output
	cmd := &cobra.Command{
		Use: use, Short: "List platform namespaces", Args: usage(cobra.MaximumNArgs(1)), ValidArgsFunction: c.completePlatform,
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, _, err := c.do(cmd.Context(), http.MethodGet, namespacePath(args...), nil)
			if err != nil {
				return err
			}
			if format == "json" || format == "yaml" {
				return format.printDocument(cmd.OutOrStdout(), answer)
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
	if command == "list" {
		cmd.Args = usage(cobra.NoArgs)
	}
	format.bind(cmd)
	return cmd
}

func printNamespaces(cmd *cobra.Command, format output, all []platformNamespace) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 3, ' ', 0)
	if format != "name" {
		fmt.Fprintln(table, "NAME\tROLE BINDINGS\tAGE")
	}
	for _, n := range all {
		name := strings.TrimPrefix(n.Name, "namespaces/")
		if format == "name" {
			fmt.Fprintf(table, "namespace/%s\n", name)
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", name, len(n.RoleBindings), age(n.CreateTime, time.Now()))
	}
	return table.Flush()
}

func newNamespaceCreate(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "create NAME", Short: "Create a platform namespace", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := json.Marshal(map[string]string{"name": args[0]})
			if err != nil {
				return err
			}
			if _, _, err := c.do(cmd.Context(), http.MethodPost, namespacePath(), body); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "namespace/%s created\n", args[0])
			return err
		},
	}
}

func newNamespaceDelete(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME...", Short: "Delete platform namespaces without objects", Args: usage(cobra.MinimumNArgs(1)), ValidArgsFunction: c.completePlatform,
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, name := range args {
				_, _, err := c.do(cmd.Context(), http.MethodDelete, namespacePath(name), nil)
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "namespace/%s deleted\n", name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}

// completePlatform completes names of platform namespaces.
func (c *client) completePlatform(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	names, err := c.platforms(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
