package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/cmd/drey/cli/manifest"
)

// objectKind describes the commands of a kind.
type objectKind struct {
	kind       string
	command    string // such as targets in drey targets list
	collection string // in REST paths
	columns    []column
	referable  bool // other objects may refer to it
}

type column struct {
	header string
	value  func(object) string
}

// object is the part of an object of the registry that tables show.
type object struct {
	Metadata struct {
		Name        string `json:"name"`
		DisplayName string `json:"displayName"`
		ID          string `json:"id"`
		CreatedAt   string `json:"createdAt"`
		Version     int32  `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		Kubernetes struct {
			Namespace string `json:"namespace"`
		} `json:"kubernetes"`
		TargetName     string `json:"deploymentTargetName"`
		TargetID       string `json:"deploymentTargetId"`
		SessionCluster string `json:"sessionClusterName"`
	} `json:"spec"`
}

var objectKinds = []objectKind{
	{"DeploymentTarget", "targets", "deployment-targets", []column{
		{"KUBERNETES NAMESPACE", func(o object) string { return orElse(o.Spec.Kubernetes.Namespace, "<drey's own>") }},
	}, true},
	{"Deployment", "deployments", "deployments", []column{
		{"TARGET", func(o object) string { return orElse(o.Spec.TargetName, o.Spec.TargetID) }},
		{"SESSION CLUSTER", func(o object) string { return o.Spec.SessionCluster }},
		{"DISPLAY NAME", func(o object) string { return o.Metadata.DisplayName }},
	}, false},
	{"SessionCluster", "sessionclusters", "sessionclusters", []column{
		{"TARGET", func(o object) string { return orElse(o.Spec.TargetName, o.Spec.TargetID) }},
		{"DISPLAY NAME", func(o object) string { return o.Metadata.DisplayName }},
	}, true},
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// newObjectCommand returns the commands of a kind, named as kubectl's.
func newObjectCommand(k objectKind) *cobra.Command {
	c := &client{}
	group := onlyGroups(&cobra.Command{Use: k.command, Short: fmt.Sprintf("List, get, create, apply and delete %ss", k.kind)})
	c.bind(group)
	group.AddCommand(newList(k, c), newGet(k, c), newCreate(k, c), newApply(k, c), newDelete(k, c))
	return group
}

func newList(k objectKind, c *client) *cobra.Command {
	var format output
	var selector string
	cmd := &cobra.Command{
		Use: "list", Short: fmt.Sprintf("List the %ss of a platform namespace", k.kind), Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := c.path(k.collection)
			if selector != "" {
				path += "?labelSelector=" + url.QueryEscape(selector)
			}
			answer, _, err := c.do(cmd.Context(), http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			return format.printList(cmd.OutOrStdout(), k, answer)
		},
	}
	format.bind(cmd)
	cmd.Flags().StringVarP(&selector, "selector", "l", "", "label selector, such as team=nuts,stage in (dev,test)")
	return cmd
}

func newGet(k objectKind, c *client) *cobra.Command {
	var format output
	cmd := &cobra.Command{
		Use: "get NAME", Short: fmt.Sprintf("Get a %s", k.kind), Args: usage(cobra.ExactArgs(1)), ValidArgsFunction: c.completeName(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, _, err := c.do(cmd.Context(), http.MethodGet, c.path(k.collection, args[0]), nil)
			if err != nil {
				return err
			}
			return format.printOne(cmd.OutOrStdout(), k, answer)
		},
	}
	format.bind(cmd)
	return cmd
}

func newCreate(k objectKind, c *client) *cobra.Command {
	var file, kubernetesNamespace string
	cmd := &cobra.Command{
		Use: "create -f FILE", Short: fmt.Sprintf("Create a %s", k.kind), Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := manifest.ReadFile(cmd.InOrStdin(), file)
			if len(args) == 1 && file == "" {
				body, err = targetBody(args[0], kubernetesNamespace)
			}
			if err != nil {
				return err
			}
			answer, _, err := c.do(cmd.Context(), http.MethodPost, c.path(k.collection), body)
			return report(cmd.OutOrStdout(), k, answer, "created", err)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file of the object in YAML or JSON; - for standard input")
	if k.kind == "DeploymentTarget" {
		cmd.Use = "create NAME --kubernetes-namespace NAMESPACE | create -f FILE"
		cmd.Args = usage(cobra.MaximumNArgs(1))
		cmd.Flags().StringVar(&kubernetesNamespace, "kubernetes-namespace", "", "Kubernetes namespace of the target")
	}
	return cmd
}

func targetBody(name, kubernetesNamespace string) ([]byte, error) {
	if kubernetesNamespace == "" {
		return nil, &exitError{exitUsage, errors.New("--kubernetes-namespace is missing: the Kubernetes namespace of the target")}
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]string{"name": name},
		"spec":     map[string]any{"kubernetes": map[string]string{"namespace": kubernetesNamespace}},
	})
}

func newApply(k objectKind, c *client) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: fmt.Sprintf("Create or update %ss from a file", k.kind), Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := manifest.ReadFile(cmd.InOrStdin(), file)
			if err != nil {
				return err
			}
			documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
			for {
				document, err := documents.Read()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err == nil {
					err = c.apply(cmd, k, document)
				}
				if err != nil {
					return err
				}
			}
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file of the object in YAML or JSON; - for standard input")
	return cmd
}

// apply upserts one document, and prints whether it was created, configured or unchanged.
func (c *client) apply(cmd *cobra.Command, k objectKind, document []byte) error {
	var o object
	var whole any
	if err := yaml.Unmarshal(document, &whole); err == nil && whole == nil {
		return nil // comments alone, or an empty document
	}
	if err := yaml.Unmarshal(document, &o); err != nil || o.Metadata.Name == "" {
		return &exitError{exitUsage, fmt.Errorf("metadata.name is missing or unreadable in: %.200s", document)}
	}
	path := c.path(k.collection, o.Metadata.Name)
	var before, after object
	if answer, _, err := c.do(cmd.Context(), http.MethodGet, path, nil); err == nil {
		_ = json.Unmarshal(answer, &before) // for the printed result alone
	}
	answer, status, err := c.do(cmd.Context(), http.MethodPut, path, document)
	did := "configured"
	switch {
	case err != nil:
	case status == http.StatusCreated:
		did = "created"
	case json.Unmarshal(answer, &after) == nil && after.Metadata.Version == before.Metadata.Version:
		did = "unchanged"
	}
	return report(cmd.OutOrStdout(), k, answer, did, err)
}

func newDelete(k objectKind, c *client) *cobra.Command {
	var format output
	var preview bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: fmt.Sprintf("Delete %ss", k.kind), Args: usage(cobra.MinimumNArgs(1)), ValidArgsFunction: c.completeName(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, name := range args {
				if preview {
					errs = append(errs, c.preview(cmd, k, name, format))
					continue
				}
				answer, _, err := c.do(cmd.Context(), http.MethodDelete, c.path(k.collection, name), nil)
				errs = append(errs, report(cmd.OutOrStdout(), k, answer, "deleted", err))
			}
			return errors.Join(errs...)
		},
	}
	if k.referable {
		cmd.Flags().BoolVar(&preview, "preview", false, fmt.Sprintf("dry run: list the references that block the deletion, and the workloads that would be denied after it; exit code %d if it is blocked", exitRefused))
		format.bind(cmd)
	}
	return cmd
}

// report prints the result of a write in one line.
func report(w io.Writer, k objectKind, answer []byte, did string, err error) error {
	if err != nil {
		return err
	}
	var o object
	if err := json.Unmarshal(answer, &o); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s/%s %s\n", strings.ToLower(k.kind), o.Metadata.Name, did)
	return err
}

// completeName completes names of existing objects.
func (c *client) completeName(k objectKind) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		answer, _, err := c.do(cmd.Context(), http.MethodGet, c.path(k.collection), nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		objects, err := readList(answer)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, o := range objects {
			names = append(names, o.Metadata.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
