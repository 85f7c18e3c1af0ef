package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/registry"
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
		Namespace   string `json:"namespace"`
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
	Status struct {
		State string `json:"state"`
	} `json:"status"`
}

// objectKey identifies an object of a kind.
type objectKey struct{ namespace, name string }

func (o object) key() objectKey { return objectKey{o.Metadata.Namespace, o.Metadata.Name} }

var objectKinds = []objectKind{
	{"DeploymentTarget", "targets", "deployment-targets", []column{
		{"KUBERNETES NAMESPACE", func(o object) string { return orElse(o.Spec.Kubernetes.Namespace, "<drey's own>") }},
	}, true},
	{"Deployment", "deployments", "deployments", []column{
		{"TARGET", func(o object) string { return orElse(o.Spec.TargetName, o.Spec.TargetID) }},
		{"SESSION CLUSTER", func(o object) string { return o.Spec.SessionCluster }},
		{"STATE", func(o object) string { return o.Status.State }},
		{"DISPLAY NAME", func(o object) string { return o.Metadata.DisplayName }},
	}, false},
	{"SessionCluster", "sessionclusters", "sessionclusters", []column{
		{"TARGET", func(o object) string { return orElse(o.Spec.TargetName, o.Spec.TargetID) }},
		{"STATE", func(o object) string { return o.Status.State }},
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

// read are the options of list and get.
type read struct {
	client        *client
	kind          objectKind
	format        output
	form          string // apiVersion of json and yaml
	selector      string
	allNamespaces bool
	watch         bool
}

func newList(k objectKind, c *client) *cobra.Command {
	r := &read{client: c, kind: k}
	cmd := &cobra.Command{
		Use: "list", Short: fmt.Sprintf("List the %ss of a platform namespace", k.kind), Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd, nil) },
	}
	r.bind(cmd)
	return cmd
}

func newGet(k objectKind, c *client) *cobra.Command {
	r := &read{client: c, kind: k}
	cmd := &cobra.Command{
		Use: "get [NAME...]", Short: fmt.Sprintf("Get %ss, or all of a platform namespace", k.kind), ValidArgsFunction: c.completeName(k),
		Example: fmt.Sprintf("  drey %[1]s get NAME -o yaml > %[2]s.yaml\n  drey %[1]s apply -f %[2]s.yaml\n  kubectl apply -f %[2]s.yaml", k.command, strings.ToLower(k.kind)),
		RunE:    r.run,
	}
	r.bind(cmd)
	return cmd
}

func (r *read) bind(cmd *cobra.Command) {
	r.format.bindWide(cmd)
	f := cmd.Flags()
	f.StringVarP(&r.selector, "selector", "l", "", "label selector, such as team=nuts,stage in (dev,test)")
	f.BoolVarP(&r.allNamespaces, "all-namespaces", "A", false, "all platform namespaces that you can read")
	f.BoolVarP(&r.watch, "watch", "w", false, "print changes until Ctrl-C")
	f.StringVar(&r.form, "api-version", formResource, "apiVersion of -o json and yaml: "+formResource+", which kubectl applies, or "+formREST+", that of the REST API")
	_ = cmd.RegisterFlagCompletionFunc("api-version", cobra.FixedCompletions([]string{formResource, formREST}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func (r *read) run(cmd *cobra.Command, names []string) error {
	isDocument := r.format == "json" || r.format == "yaml"
	switch {
	case len(names) > 0 && (r.selector != "" || r.allNamespaces):
		return &exitError{exitUsage, errors.New("a name excludes -l and -A: give one of them")}
	case r.form != formResource && r.form != formREST:
		return &exitError{exitUsage, fmt.Errorf("--api-version is %q: want %s or %s", r.form, formResource, formREST)}
	case r.watch && isDocument:
		return &exitError{exitUsage, fmt.Errorf("-w prints a table or names: leave out -o %s", r.format)}
	}
	items, err := r.items(cmd.Context(), names)
	if err != nil {
		return err
	}
	if isDocument {
		return r.printDocuments(cmd.OutOrStdout(), items, len(names) == 1)
	}
	if len(items) == 0 && !r.watch && r.format != "name" {
		fmt.Fprintf(cmd.ErrOrStderr(), "No %ss in %s.\n", r.kind.kind, r.scope())
		return nil
	}
	objects, err := readObjects(items)
	if err != nil {
		return err
	}
	if err := r.format.print(cmd.OutOrStdout(), r.columns(), r.kind, objects, true); err != nil || !r.watch {
		return err
	}
	return r.follow(cmd, names, objects)
}

func (r *read) scope() string {
	switch {
	case r.allNamespaces:
		return "any platform namespace"
	case r.selector != "":
		return fmt.Sprintf("platform namespace %s with these labels", r.client.platform())
	}
	return "platform namespace " + r.client.platform()
}

// items returns documents of the REST API: those with the names, else all that match.
func (r *read) items(ctx context.Context, names []string) ([]json.RawMessage, error) {
	var items []json.RawMessage
	for _, name := range names {
		answer, _, err := r.client.do(ctx, http.MethodGet, r.client.path(r.kind.collection, name), nil)
		if err != nil {
			return nil, err
		}
		items = append(items, answer)
	}
	if len(names) > 0 {
		return items, nil
	}
	platforms := []string{r.client.platform()}
	if r.allNamespaces {
		var err error
		if platforms, err = r.client.platforms(ctx); err != nil {
			return nil, err
		}
	}
	for _, platform := range platforms {
		path := r.client.pathIn(platform, r.kind.collection)
		if r.selector != "" {
			path += "?labelSelector=" + url.QueryEscape(r.selector)
		}
		answer, _, err := r.client.do(ctx, http.MethodGet, path, nil)
		if r.allNamespaces && codeOf(err) == exitNotFound {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(answer, &list); err != nil {
			return nil, err
		}
		items = append(items, list.Items...)
	}
	return items, nil
}

// watchInterval is the time between two reads of get -w.
const watchInterval = 2 * time.Second

// follow prints objects that are new or have changed, until Ctrl-C.
func (r *read) follow(cmd *cobra.Command, names []string, seen []object) error {
	printed := map[objectKey]object{}
	for _, o := range seen {
		printed[o.key()] = o
	}
	for {
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(watchInterval):
		}
		items, err := r.items(cmd.Context(), names)
		if cmd.Context().Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		objects, err := readObjects(items)
		if err != nil {
			return err
		}
		changed := slices.DeleteFunc(objects, func(o object) bool { return printed[o.key()] == o })
		for _, o := range changed {
			printed[o.key()] = o
		}
		if err := r.format.print(cmd.OutOrStdout(), r.columns(), r.kind, changed, false); err != nil {
			return err
		}
	}
}

// columns are those of the table between NAME and AGE.
func (r *read) columns() []column {
	columns := slices.Clone(r.kind.columns)
	if r.allNamespaces {
		columns = slices.Insert(columns, 0, column{"PLATFORM NAMESPACE", func(o object) string { return o.Metadata.Namespace }})
	}
	if r.format == "wide" {
		columns = append(columns, column{"ID", func(o object) string { return o.Metadata.ID }}, column{"VERSION", func(o object) string { return strconv.Itoa(int(o.Metadata.Version)) }})
	}
	return columns
}

// printDocuments prints objects in the form of --api-version: one alone, or a list.
func (r *read) printDocuments(w io.Writer, items []json.RawMessage, single bool) error {
	if r.form == formResource {
		for i, item := range items {
			resource, err := toResource(r.kind, item, r.client.metadataName(r.kind, item))
			if err != nil {
				return err
			}
			items[i] = resource
		}
	}
	if single {
		return r.format.printDocument(w, items[0])
	}
	kind := r.kind.kind + "List"
	if r.form == formResource {
		kind = "List" // kubectl's; it applies no typed list
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{}, "items": append([]json.RawMessage{}, items...)})
	if err != nil {
		return err
	}
	return r.format.printDocument(w, list)
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
		Long: fmt.Sprintf("Create or update %ss: YAML documents or lists, of %s or in the form of the REST API.", k.kind, formResource),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.applyFile(cmd, file, k.kind) },
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file of the objects in YAML or JSON; - for standard input")
	return cmd
}

// newApplyAllCommand returns drey apply, for objects of all kinds.
func newApplyAllCommand() *cobra.Command {
	c := &client{}
	var file string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Create or update DeploymentTargets, Deployments and SessionClusters from a file", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.applyFile(cmd, file, "") },
	}
	c.bind(cmd)
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file of the objects in YAML or JSON; - for standard input")
	return cmd
}

// applyFile upserts the objects of a file, those first that others may refer to. only is
// their kind; empty: any.
func (c *client) applyFile(cmd *cobra.Command, file, only string) error {
	text, err := manifest.ReadFile(cmd.InOrStdin(), file)
	if err != nil {
		return err
	}
	documents, err := readDocuments(text, only)
	if err != nil {
		return err
	}
	if len(documents) == 0 {
		return &exitError{exitUsage, errors.New("nothing to apply: the input has no object")}
	}
	for _, d := range documents {
		if only != "" && d.kind.kind != only {
			return &exitError{exitUsage, fmt.Errorf("%s %q is no %s: use drey %s apply, or drey apply for all kinds", d.kind.kind, d.name, only, d.kind.command)}
		}
		if stated := c.statedPlatform(); stated != "" && d.namespace != "" && d.namespace != stated {
			return &exitError{exitUsage, fmt.Errorf("%s %q has the namespace %s, and the command %s: leave one of them out", d.kind.kind, d.name, d.namespace, stated)}
		}
	}
	slices.SortStableFunc(documents, func(a, b document) int {
		return byReference(registry.Object{Kind: registry.Kind(a.kind.kind)}, registry.Object{Kind: registry.Kind(b.kind.kind)})
	})
	for _, d := range documents {
		if err := c.apply(cmd, d); err != nil {
			return err
		}
	}
	return nil
}

// apply upserts one object, and prints whether it was created, configured or unchanged.
func (c *client) apply(cmd *cobra.Command, d document) error {
	path := c.pathIn(cmp.Or(d.namespace, c.platform()), d.kind.collection, d.name)
	var before, after object
	if answer, _, err := c.do(cmd.Context(), http.MethodGet, path, nil); err == nil {
		_ = json.Unmarshal(answer, &before) // for the printed result alone
	}
	answer, status, err := c.do(cmd.Context(), http.MethodPut, path, d.body)
	did := "configured"
	switch {
	case err != nil:
	case status == http.StatusCreated:
		did = "created"
	case json.Unmarshal(answer, &after) == nil && after.Metadata.Version == before.Metadata.Version:
		did = "unchanged"
	}
	return report(cmd.OutOrStdout(), d.kind, answer, did, err)
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
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(answer, &list); err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		objects, err := readObjects(list.Items)
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
