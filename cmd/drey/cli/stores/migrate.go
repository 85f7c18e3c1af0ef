package stores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/output"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/migration"
)

type migrateOptions struct {
	from, to         string
	dataDir          string
	kubectl          kubectl.Cluster
	dryRun           bool
	createNamespaces bool
}

func newMigrateCommand() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate --from embedded --to kubernetes",
		Short: "Copy the registry between the embedded store and the cluster",
		Long: `Copy the registry from the embedded store to the cluster, or back, while drey is stopped. Ids,
names, labels, annotations, specs and creation times are kept; versions restart at 1. Missing
objects are added, and none are changed or removed, so the command can be interrupted and
repeated. Nothing is written if an existing object differs.`,
		Example: `  drey migrate --from embedded --to kubernetes --data-dir drey-data --dry-run
  drey migrate --from embedded --to kubernetes --data-dir drey-data`,
		Args: command.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), output.Stdout(cmd)) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "source store: embedded or kubernetes")
	f.StringVar(&o.to, "to", "", "destination store: kubernetes or embedded")
	for _, name := range []string{"from", "to"} {
		command.Complete(cmd, name, cobra.FixedCompletions([]string{storeEmbedded, storeKubernetes}, cobra.ShellCompDirectiveNoFileComp))
	}
	bindDataDir(cmd, &o.dataDir)
	o.kubectl.Bind(cmd, f)
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan without copying")
	f.BoolVar(&o.createNamespaces, "create-namespaces", false, "create the Kubernetes namespace of a platform namespace if it does not exist")
	return cmd
}

// Values of --from and --to.
const (
	storeEmbedded   = "embedded"
	storeKubernetes = "kubernetes"
)

func (o *migrateOptions) run(ctx context.Context, out io.Writer) (err error) {
	if (o.from != storeEmbedded || o.to != storeKubernetes) && (o.from != storeKubernetes || o.to != storeEmbedded) {
		return command.WithCode(command.ExitUsage, fmt.Errorf("--from is %q and --to is %q: use %s for one and %s for the other", o.from, o.to, storeEmbedded, storeKubernetes))
	}
	from, err := o.open(ctx, o.from, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if o.dryRun && o.to == storeEmbedded {
		if _, err := os.Stat(server.RegistryFile(o.dataDir)); errors.Is(err, fs.ErrNotExist) {
			return o.preview(ctx, out, from, emptyStore{})
		}
	}
	to, err := o.open(ctx, o.to, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if o.dryRun {
		return o.preview(ctx, out, from, to)
	}
	return o.migrate(ctx, out, from, to)
}

// emptyStore stands for a file that does not exist yet.
type emptyStore struct{ registry.Store }

func (emptyStore) List(context.Context, registry.Kind, string, registry.Consistency) ([]registry.Object, error) {
	return nil, nil
}

func (emptyStore) Capabilities() registry.Capabilities {
	return registry.Capabilities{APITokens: true, ExactSpecs: true}
}

func (o *migrateOptions) open(ctx context.Context, name string, create bool) (registry.Store, error) {
	if name == storeEmbedded {
		file := server.RegistryFile(o.dataDir)
		if _, err := os.Stat(file); err != nil && !create {
			return nil, command.WithCode(command.ExitUsage, fmt.Errorf("%w: set --data-dir to the directory of the registry", err))
		}
		store, err := boltstore.Open(file)
		if errors.Is(err, boltstore.ErrInUse) {
			return nil, fmt.Errorf("%w; stop it, so that no write is lost", err)
		}
		return store, err
	}
	config, err := o.kubectl.Config()
	if err != nil {
		return nil, err
	}
	store, err := kubestore.Open(ctx, config, kubestore.Options{CreateNamespaces: o.createNamespaces, UserCredentials: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("%w; if the CRDs are missing: drey install, or kubectl apply --server-side -k manifests/crds", err)
	}
	return store, nil
}

// preview prints the plan.
func (o *migrateOptions) preview(ctx context.Context, out io.Writer, from, to registry.Store) error {
	steps, err := migration.Plan(ctx, from, to)
	if err != nil {
		return err
	}
	if err := printPlan(out, steps); err != nil {
		return err
	}
	return o.printMissingNamespaces(ctx, out, steps)
}

// printMissingNamespaces names the platform namespaces that cannot be copied because
// their Kubernetes namespace does not exist.
func (o *migrateOptions) printMissingNamespaces(ctx context.Context, out io.Writer, steps []migration.Step) error {
	if o.to != storeKubernetes || o.createNamespaces {
		return nil
	}
	config, err := o.kubectl.Config()
	if err != nil {
		return err
	}
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.State != migration.Missing || s.Object.Kind != registry.Namespace {
			continue
		}
		name := s.Object.Metadata.Name
		_, err := client.Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			fmt.Fprintf(out, "Platform namespace %q needs a Kubernetes namespace of its name: kubectl create namespace %s, or use --create-namespaces.\n", name, name)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (o *migrateOptions) migrate(ctx context.Context, out io.Writer, from, to registry.Store) error {
	steps, err := migration.Plan(ctx, from, to)
	if err != nil {
		return err
	}
	if err := printPlan(out, steps); err != nil {
		return err
	}
	copied, all := 0, 0
	for _, s := range steps {
		if s.State == migration.Missing {
			all++
		}
	}
	failed := migration.Copy(ctx, steps, to, func(migration.Step) {
		if copied++; copied%1000 == 0 {
			fmt.Fprintf(out, "copied %d of %d\n", copied, all)
		}
	})
	fmt.Fprintf(out, "copied %d of %d\n", copied, all)
	if failed != nil {
		return fmt.Errorf("%w; fix that and run the command again: copied objects stay", failed)
	}
	// Read back, to verify.
	steps, err = migration.Plan(ctx, from, to)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.State == migration.Missing || s.State == migration.Differs {
			return fmt.Errorf("verify: the copy of %s differs: %s", migration.Name(s.Object), s.Why)
		}
	}
	_, err = fmt.Fprintln(out, "Verified: the stores are equal.")
	return err
}

// printPlan prints a plan, and fails if objects differ.
func printPlan(out io.Writer, steps []migration.Step) error {
	counts := map[registry.Kind]map[migration.State]int{}
	var kinds []registry.Kind
	for _, s := range steps {
		kind := s.Object.Kind
		if counts[kind] == nil {
			counts[kind] = map[migration.State]int{}
			kinds = append(kinds, kind)
		}
		counts[kind][s.State]++
	}
	table := output.NewTable(out, "KIND", "TO COPY", "EXISTING", "DIFFERENT", "SKIPPED")
	for _, kind := range kinds {
		c := counts[kind]
		table.Row(string(kind), strconv.Itoa(c[migration.Missing]), strconv.Itoa(c[migration.There]), strconv.Itoa(c[migration.Differs]), strconv.Itoa(c[migration.Left]))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if counts[registry.APIToken][migration.Left] > 0 {
		fmt.Fprintln(out, "API tokens are skipped: with the registry in the cluster, use ServiceAccounts (kubectl create token NAME -n NAMESPACE).")
	}
	different := 0
	for _, s := range steps {
		if s.State == migration.Differs {
			different++
			fmt.Fprintf(out, "%s exists and differs: %s\n", migration.Name(s.Object), s.Why)
		}
	}
	if different > 0 {
		return command.WithCode(command.ExitRefused, errors.New("nothing copied: delete one of each pair that differs, or make them equal, and run the command again"))
	}
	return nil
}
