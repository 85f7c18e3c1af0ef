// Package objects holds the commands of the registry's objects: targets, deployments,
// sessionclusters, apply, and of platform namespaces, jobs and API tokens.
package objects

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

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/registry"
)

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

	readiness readiness // of a target
}

// objectKey identifies an object of a kind.
type objectKey struct{ namespace, name string }

func (o object) key() objectKey { return objectKey{o.Metadata.Namespace, o.Metadata.Name} }

// columnsOf returns the columns of the table of a kind, between NAME and AGE.
func columnsOf(k document.Kind) []column {
	target := column{"TARGET", func(o object) string { return cmp.Or(o.Spec.TargetName, o.Spec.TargetID) }}
	state := column{"STATE", func(o object) string { return o.Status.State }}
	displayName := column{"DISPLAY NAME", func(o object) string { return o.Metadata.DisplayName }}
	switch registry.Kind(k.Name) {
	case registry.Deployment:
		return []column{target, {"SESSION CLUSTER", func(o object) string { return o.Spec.SessionCluster }}, state, displayName}
	case registry.SessionCluster:
		return []column{target, state, displayName}
	}
	return []column{
		{"KUBERNETES NAMESPACE", func(o object) string { return cmp.Or(o.Spec.Kubernetes.Namespace, "<drey's own>") }},
		{"READY", func(o object) string { return o.readiness.String() }},
	}
}

// isReferable reports whether other objects may refer to those of a kind.
func isReferable(k document.Kind) bool { return registry.Kind(k.Name) != registry.Deployment }

// Commands returns the commands.
func Commands() []*cobra.Command {
	var all []*cobra.Command
	for _, k := range document.Kinds {
		all = append(all, newObjectCommand(k))
	}
	return append(all, newApplyAllCommand(), newNamespacesCommand(), newJobsCommand(), newTokensCommand())
}

// descriptions are the help texts of the kinds.
var descriptions = map[string]string{
	"DeploymentTarget": `A DeploymentTarget registers a Kubernetes namespace for the Flink workloads of a platform
namespace. Its spec cannot be changed, and it cannot be deleted while objects refer to it.`,
	"Deployment": `A Deployment is a Flink application of a platform namespace. The registry stores it, and drey
labels its pods with its id and name; another program deploys it.`,
	"SessionCluster": `A SessionCluster is a Flink cluster that runs the jobs of several Deployments of a platform
namespace. The registry stores it, and drey labels its pods; another program deploys it.`,
}

// newObjectCommand returns the commands of a kind, named as kubectl's.
func newObjectCommand(k document.Kind) *cobra.Command {
	c := &client.Client{}
	group := command.Group(&cobra.Command{
		Use: k.Command, Short: fmt.Sprintf("List, get, create, apply and delete %ss", k.Name),
		Long:    descriptions[k.Name],
		Example: fmt.Sprintf("  drey %[1]s list\n  drey %[1]s get NAME -o yaml\n  drey %[1]s apply -f %[1]s.yaml", k.Command),
	})
	c.Bind(group)
	group.AddCommand(newList(k, c), newGet(k, c), newCreate(k, c), newApply(k, c), newDelete(k, c))
	return group
}

// read are the options of list and get.
type read struct {
	client        *client.Client
	kind          document.Kind
	format        output.Format
	form          string // apiVersion of json and yaml
	selector      string
	allNamespaces bool
	watch         bool
}

func newList(k document.Kind, c *client.Client) *cobra.Command {
	r := &read{client: c, kind: k}
	cmd := &cobra.Command{
		Use: "list", Short: fmt.Sprintf("List the %ss of a platform namespace", k.Name), Args: command.Args(cobra.NoArgs),
		Long:    fmt.Sprintf("List the %ss of a platform namespace, or with -A of all that you can read.", k.Name),
		Example: fmt.Sprintf("  drey %[1]s list\n  drey %[1]s list -A -o wide\n  drey %[1]s list -l team=nuts -w", k.Command),
		RunE:    func(cmd *cobra.Command, _ []string) error { return r.run(cmd, nil) },
	}
	r.bind(cmd)
	return cmd
}

func newGet(k document.Kind, c *client.Client) *cobra.Command {
	r := &read{client: c, kind: k}
	cmd := &cobra.Command{
		Use: "get [NAME...]", Short: fmt.Sprintf("Get %ss, or all of a platform namespace", k.Name), ValidArgsFunction: completeName(c, k),
		Long: fmt.Sprintf(`Get %ss by name, or all of a platform namespace. The output of -o yaml and
-o json goes back with apply, and with kubectl apply.`, k.Name),
		Example: fmt.Sprintf("  drey %[1]s get NAME -o yaml > %[2]s.yaml\n  drey %[1]s apply -f %[2]s.yaml\n  kubectl apply -f %[2]s.yaml", k.Command, strings.ToLower(k.Name)),
		RunE:    r.run,
	}
	r.bind(cmd)
	return cmd
}

func (r *read) bind(cmd *cobra.Command) {
	r.format.Bind(cmd, output.Table, output.Wide, output.JSON, output.YAML, output.Name)
	f := cmd.Flags()
	f.StringVarP(&r.selector, "selector", "l", "", "label selector, such as team=nuts,stage in (dev,test)")
	f.BoolVarP(&r.allNamespaces, "all-namespaces", "A", false, "all platform namespaces that you can read")
	f.BoolVarP(&r.watch, "watch", "w", false, "print changes until Ctrl-C")
	command.Choice(cmd, f, &r.form, "api-version", "", "apiVersion of -o json and yaml: "+document.FormResource+", which kubectl applies, or "+document.FormREST+", that of the REST API", document.FormResource, document.FormREST)
}

func (r *read) run(cmd *cobra.Command, names []string) error {
	isDocument := r.format.IsDocument()
	switch {
	case len(names) > 0 && (r.selector != "" || r.allNamespaces):
		return command.WithCode(command.ExitUsage, errors.New("a name excludes -l and -A: give one of them"))
	case r.watch && isDocument:
		return command.WithCode(command.ExitUsage, fmt.Errorf("-w prints a table or names: leave out -o %s", r.format))
	}
	items, err := r.items(cmd.Context(), names)
	if err != nil {
		return err
	}
	if isDocument {
		return r.printDocuments(output.Stdout(cmd), items, len(names) == 1)
	}
	if len(items) == 0 && !r.watch && r.format != output.Name {
		fmt.Fprintf(cmd.ErrOrStderr(), "No %ss in %s.\n", r.kind.Name, r.scope())
		return nil
	}
	objects, err := r.readObjects(cmd.Context(), items)
	if err != nil {
		return err
	}
	p := newPrinter(output.Stdout(cmd), r.format, r.kind, r.columns())
	if err := p.print(objects); err != nil || !r.watch {
		return err
	}
	return r.follow(cmd, names, objects, p)
}

func (r *read) scope() string {
	switch {
	case r.allNamespaces:
		return "any platform namespace"
	case r.selector != "":
		return fmt.Sprintf("platform namespace %s with these labels", r.client.Platform())
	}
	return "platform namespace " + r.client.Platform()
}

// items returns documents of the REST API: those with the names, else all that match.
func (r *read) items(ctx context.Context, names []string) ([]json.RawMessage, error) {
	var items []json.RawMessage
	for _, name := range names {
		answer, _, err := r.client.Do(ctx, http.MethodGet, r.client.Path(r.kind.Collection, name), nil)
		if err != nil {
			return nil, err
		}
		items = append(items, answer)
	}
	if len(names) > 0 {
		return items, nil
	}
	platforms := []string{r.client.Platform()}
	if r.allNamespaces {
		var err error
		if platforms, err = r.client.Platforms(ctx); err != nil {
			return nil, err
		}
	}
	for _, platform := range platforms {
		path := r.client.PathIn(platform, r.kind.Collection)
		if r.selector != "" {
			path += "?labelSelector=" + url.QueryEscape(r.selector)
		}
		answer, _, err := r.client.Do(ctx, http.MethodGet, path, nil)
		if r.allNamespaces && command.CodeOf(err) == command.ExitNotFound {
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
func (r *read) follow(cmd *cobra.Command, names []string, seen []object, p *printer) error {
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
		objects, err := r.readObjects(cmd.Context(), items)
		if err != nil {
			return err
		}
		changed := slices.DeleteFunc(objects, func(o object) bool { return printed[o.key()] == o })
		for _, o := range changed {
			printed[o.key()] = o
		}
		if err := p.print(changed); err != nil {
			return err
		}
	}
}

// columns are those of the table between NAME and AGE.
func (r *read) columns() []column {
	columns := columnsOf(r.kind)
	if r.allNamespaces {
		columns = slices.Insert(columns, 0, column{"PLATFORM NAMESPACE", func(o object) string { return o.Metadata.Namespace }})
	}
	if r.format == output.Wide && registry.Kind(r.kind.Name) == registry.DeploymentTarget {
		columns = append(columns, column{"WORKLOADS", func(o object) string { return o.readiness.Workloads }}, column{"MESSAGE", func(o object) string { return o.readiness.Message }})
	}
	if r.format == output.Wide {
		columns = append(columns, column{"ID", func(o object) string { return o.Metadata.ID }}, column{"VERSION", func(o object) string { return strconv.Itoa(int(o.Metadata.Version)) }})
	}
	return columns
}

// printDocuments prints objects in the form of --api-version: one alone, or a list.
func (r *read) printDocuments(w io.Writer, items []json.RawMessage, single bool) error {
	if r.form == document.FormResource {
		for i, item := range items {
			resource, err := document.ToResource(r.kind, item, r.client.MetadataName(r.kind, item))
			if err != nil {
				return err
			}
			items[i] = resource
		}
	}
	if single {
		return r.format.PrintDocument(w, items[0])
	}
	kind := r.kind.Name + "List"
	if r.form == document.FormResource {
		kind = "List" // kubectl's; it applies no typed list
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{}, "items": append([]json.RawMessage{}, items...)})
	if err != nil {
		return err
	}
	return r.format.PrintDocument(w, list)
}

func newCreate(k document.Kind, c *client.Client) *cobra.Command {
	var files []string
	var kubernetesNamespace string
	cmd := &cobra.Command{
		Use: "create -f FILE", Short: fmt.Sprintf("Create %ss", k.Name), Args: command.Args(cobra.NoArgs),
		Long: fmt.Sprintf(`Create %ss from YAML documents, JSON or lists, of %s or in the form of the REST
API. They must not exist: drey %s apply updates them.`, k.Name, document.FormResource, k.Command),
		Example: fmt.Sprintf("  drey %s create -f %s.yaml", k.Command, strings.ToLower(k.Name)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && len(files) > 0:
				return command.WithCode(command.ExitUsage, errors.New("a name excludes -f: give one of them"))
			case len(args) == 1:
				return createTarget(c, cmd, k, args[0], kubernetesNamespace)
			case len(files) == 0 && k.Name == string(registry.DeploymentTarget):
				return command.WithCode(command.ExitUsage, errors.New("nothing to create: give NAME --kubernetes-namespace NAMESPACE, or -f FILE"))
			}
			return writeFiles(c, cmd, files, k.Name, create)
		},
	}
	bindFiles(cmd, &files)
	if k.Name == "DeploymentTarget" {
		cmd.Use = "create NAME --kubernetes-namespace NAMESPACE | create -f FILE"
		cmd.Long = `Create a DeploymentTarget, which registers a Kubernetes namespace for Flink, or those of files. A
target must not exist: drey targets apply updates it. The Kubernetes namespace may be created
later.`
		cmd.Example = `  drey targets create prod --kubernetes-namespace flink-prod
  drey targets create prod --kubernetes-namespace flink-prod --platform-namespace team-a
  drey targets create -f target.yaml`
		cmd.Args = command.Args(cobra.MaximumNArgs(1))
		cmd.Flags().StringVar(&kubernetesNamespace, "kubernetes-namespace", "", "Kubernetes namespace of the target")
		command.Complete(cmd, "kubernetes-namespace", c.Kubectl.CompleteNamespaces)
	}
	return cmd
}

// bindFiles adds the flag of the files to write.
func bindFiles(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "filename", "f", nil, "file or directory of objects in YAML or JSON; - for standard input; repeatable")
}

// createTarget creates a DeploymentTarget from its name and Kubernetes namespace.
func createTarget(c *client.Client, cmd *cobra.Command, k document.Kind, name, kubernetesNamespace string) error {
	body, err := targetBody(name, kubernetesNamespace)
	if err != nil {
		return err
	}
	return create(c, cmd, document.Document{Kind: k, Name: name, Body: body})
}

// create creates one object.
func create(c *client.Client, cmd *cobra.Command, d document.Document) error {
	answer, _, err := c.Do(cmd.Context(), http.MethodPost, c.PathIn(cmp.Or(d.Namespace, c.Platform()), d.Kind.Collection), d.Body)
	var created object
	if err == nil && json.Unmarshal(answer, &created) == nil {
		warnOfID(c, d, created)
	}
	return report(output.Stdout(cmd), d.Kind, answer, "created", err)
}

// warnOfID warns if a written object has another id than the manifest.
func warnOfID(c *client.Client, d document.Document, written object) {
	if d.ID != "" && d.ID != written.Metadata.ID {
		c.Warn(fmt.Sprintf("%s %q has the id %s, not %s of the manifest: a registry assigns ids; drey migrate and drey restore keep them", d.Kind.Name, written.Metadata.Name, written.Metadata.ID, d.ID))
	}
}

func targetBody(name, kubernetesNamespace string) ([]byte, error) {
	if kubernetesNamespace == "" {
		return nil, command.WithCode(command.ExitUsage, errors.New("--kubernetes-namespace is missing: the Kubernetes namespace of the target"))
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]string{"name": name},
		"spec":     map[string]any{"kubernetes": map[string]string{"namespace": kubernetesNamespace}},
	})
}

func newApply(k document.Kind, c *client.Client) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: fmt.Sprintf("Create or update %ss from a file", k.Name), Args: command.Args(cobra.NoArgs),
		Long: fmt.Sprintf(`Create or update %ss from YAML documents, JSON or lists, of %s or in the
form of the REST API. Each object is reported as created, configured or unchanged.`, k.Name, document.FormResource),
		Example: fmt.Sprintf("  drey %[1]s apply -f %[1]s.yaml\n  drey %[1]s get -o yaml | drey %[1]s apply --platform-namespace team-b -f -", k.Command),
		RunE:    func(cmd *cobra.Command, _ []string) error { return writeFiles(c, cmd, files, k.Name, apply) },
	}
	bindFiles(cmd, &files)
	return cmd
}

// newApplyAllCommand returns drey apply, for objects of all kinds.
func newApplyAllCommand() *cobra.Command {
	c := &client.Client{}
	var files []string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Create or update DeploymentTargets, Deployments and SessionClusters from a file", Args: command.Args(cobra.NoArgs),
		Long: `Create or update objects of all kinds from YAML documents, JSON or lists, of drey.dev/v1 or in
the form of the REST API. Targets come first, to which the others may refer. Each object is
reported as created, configured or unchanged.`,
		Example: "  drey apply -f registry.yaml\n  kubectl get deploymenttargets,deployments.drey.dev -n team-a -o yaml | drey apply --server https://drey.example.com -f -",
		RunE:    func(cmd *cobra.Command, _ []string) error { return writeFiles(c, cmd, files, "", apply) },
	}
	c.Bind(cmd)
	bindFiles(cmd, &files)
	return cmd
}

// readDocuments reads the objects of files, directories and standard input.
func readDocuments(cmd *cobra.Command, paths []string, only string) ([]document.Document, error) {
	if len(paths) == 0 {
		return nil, command.WithCode(command.ExitUsage, errors.New("-f is missing: give a file, a directory, or - for standard input"))
	}
	reader := manifest.Reader{Stdin: cmd.InOrStdin(), Command: cmd.CommandPath()}
	var all []document.Document
	for _, path := range paths {
		files, _, err := reader.ReadFiles(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			found, err := document.Read(file.Text, only)
			if err != nil {
				return nil, fmt.Errorf("%s, %w", manifest.DisplayName(file.Name), err)
			}
			all = append(all, found...)
		}
	}
	if len(all) == 0 {
		return nil, command.WithCode(command.ExitUsage, fmt.Errorf("nothing to %s: no object in %s", cmd.Name(), manifest.DisplayName(paths...)))
	}
	return all, nil
}

// writeFiles creates or applies the objects of files, those first that others may refer to. only
// is their kind; empty: any.
func writeFiles(c *client.Client, cmd *cobra.Command, paths []string, only string, write func(*client.Client, *cobra.Command, document.Document) error) error {
	documents, err := readDocuments(cmd, paths, only)
	if err != nil {
		return err
	}
	for _, d := range documents {
		if only != "" && d.Kind.Name != only {
			return command.WithCode(command.ExitUsage, fmt.Errorf("%s %q is no %s: use drey %s %s, or drey apply for all kinds", d.Kind.Name, d.Name, only, d.Kind.Command, cmd.Name()))
		}
		if stated := c.StatedPlatform(); stated != "" && d.Namespace != "" && d.Namespace != stated {
			return command.WithCode(command.ExitUsage, fmt.Errorf("%s %q has the namespace %s, and the command %s: leave one of them out", d.Kind.Name, d.Name, d.Namespace, stated))
		}
	}
	slices.SortStableFunc(documents, func(a, b document.Document) int {
		return document.ByReference(registry.Object{Kind: registry.Kind(a.Kind.Name)}, registry.Object{Kind: registry.Kind(b.Kind.Name)})
	})
	var errs []error
	for _, d := range documents {
		err := write(c, cmd, d)
		errs = append(errs, err)
		if code := command.CodeOf(err); code == command.ExitUnavailable || code == command.ExitInterrupted {
			break // the others fail too
		}
	}
	return errors.Join(errs...)
}

// apply upserts one object, and prints whether it was created, configured or unchanged. It warns
// if the object has another id than the manifest.
func apply(c *client.Client, cmd *cobra.Command, d document.Document) error {
	path := c.PathIn(cmp.Or(d.Namespace, c.Platform()), d.Kind.Collection, d.Name)
	var before, after object
	if answer, _, err := c.Do(cmd.Context(), http.MethodGet, path, nil); err == nil {
		_ = json.Unmarshal(answer, &before) // for the printed result alone
	}
	answer, status, err := c.Do(cmd.Context(), http.MethodPut, path, d.Body)
	did := "configured"
	switch {
	case err != nil || json.Unmarshal(answer, &after) != nil:
	case status == http.StatusCreated:
		did = "created"
	case after.Metadata.Version == before.Metadata.Version:
		did = "unchanged"
	}
	if err == nil {
		warnOfID(c, d, after)
	}
	return report(output.Stdout(cmd), d.Kind, answer, did, err)
}

func newDelete(k document.Kind, c *client.Client) *cobra.Command {
	var format output.Format
	var preview bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: fmt.Sprintf("Delete %ss", k.Name),
		Long:    fmt.Sprintf("Delete %ss. Workloads that run are not changed.", k.Name),
		Example: fmt.Sprintf("  drey %s delete NAME", k.Command), Args: command.Args(cobra.MinimumNArgs(1)), ValidArgsFunction: completeName(c, k),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, name := range args {
				if preview {
					errs = append(errs, printPreview(c, cmd, k, name, format))
					continue
				}
				answer, _, err := c.Do(cmd.Context(), http.MethodDelete, c.Path(k.Collection, name), nil)
				errs = append(errs, report(output.Stdout(cmd), k, answer, "deleted", err))
			}
			return errors.Join(errs...)
		},
	}
	if isReferable(k) {
		cmd.Long = fmt.Sprintf(`Delete %ss. References block the deletion and are listed;
--preview lists them without deleting. Running workloads are not changed.`, k.Name)
		cmd.Example = fmt.Sprintf("  drey %[1]s delete NAME --preview\n  drey %[1]s delete NAME", k.Command)
		cmd.Flags().BoolVar(&preview, "preview", false, fmt.Sprintf("dry run: list the references that block the deletion, and the workloads that would be denied after it; exit code %d if it is blocked", command.ExitRefused))
		format.Bind(cmd, output.Table, output.JSON, output.YAML)
	}
	return cmd
}

// report prints the result of a write in one line.
func report(w io.Writer, k document.Kind, answer []byte, did string, err error) error {
	if err != nil {
		return err
	}
	var o object
	if err := json.Unmarshal(answer, &o); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s/%s %s\n", strings.ToLower(k.Name), o.Metadata.Name, did)
	return err
}

// completeName completes names of existing objects.
func completeName(c *client.Client, k document.Kind) cobra.CompletionFunc {
	return c.Completion(func(ctx context.Context) ([]string, error) {
		return namesOf(ctx, c, k)
	})
}

func namesOf(ctx context.Context, c *client.Client, k document.Kind) ([]string, error) {
	answer, _, err := c.Do(ctx, http.MethodGet, c.Path(k.Collection), nil)
	if err != nil {
		return nil, err
	}
	var list struct{ Items []object }
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, err
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.Metadata.Name)
	}
	return names, nil
}

// printer prints objects as rows of one table, or their names.
type printer struct {
	out     io.Writer
	kind    document.Kind
	columns []column
	table   *output.Rows // nil: names
}

func newPrinter(out io.Writer, format output.Format, k document.Kind, columns []column) *printer {
	p := &printer{out: out, kind: k, columns: columns}
	if format == output.Name {
		return p
	}
	header := []string{"NAME"}
	for _, c := range columns {
		header = append(header, c.header)
	}
	p.table = output.NewTable(out, append(header, "AGE")...)
	return p
}

func (p *printer) print(objects []object) error {
	for _, o := range objects {
		if p.table == nil {
			if _, err := fmt.Fprintf(p.out, "%s/%s\n", strings.ToLower(p.kind.Name), o.Metadata.Name); err != nil {
				return err
			}
			continue
		}
		cells := []string{o.Metadata.Name}
		for _, c := range p.columns {
			cells = append(cells, c.value(o))
		}
		p.table.Row(append(cells, output.Age(o.Metadata.CreatedAt, time.Now()))...)
	}
	if p.table == nil {
		return nil
	}
	return p.table.Flush()
}
