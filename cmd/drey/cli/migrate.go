package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/migration"
)

type migrateOptions struct {
	from, to         string
	dataDir          string
	kubectl          kubectlCluster
	dryRun           bool
	createNamespaces bool
}

func newMigrateCommand() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate --from embedded --to kubernetes",
		Short: "Copy the registry from its file into the cluster, or back, while drey does not run",
		Long: `Copy the registry from its file into the cluster (embedded, kubernetes), or back. Ids,
names, labels, annotations, specs and the times of creation stay; versions begin
anew. What is missing is added, and nothing is changed or removed: it may be broken
off, and run again. Nothing is written if anything there differs.`,
		Example: `  drey migrate --from embedded --to kubernetes --data-dir drey-data --dry-run
  drey migrate --from embedded --to kubernetes --data-dir drey-data`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "where the registry is: embedded or kubernetes")
	f.StringVar(&o.to, "to", "", "where it is to be: kubernetes or embedded")
	bindDataDir(cmd, &o.dataDir)
	o.kubectl.bind(f)
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be copied, and copy nothing")
	f.BoolVar(&o.createNamespaces, "create-namespaces", false, "make the Kubernetes namespace of a platform namespace where there is none")
	return cmd
}

// Values of --from and --to.
const (
	storeEmbedded   = "embedded"
	storeKubernetes = "kubernetes"
)

func (o *migrateOptions) run(ctx context.Context, out io.Writer) (err error) {
	if (o.from != storeEmbedded || o.to != storeKubernetes) && (o.from != storeKubernetes || o.to != storeEmbedded) {
		return &exitError{exitUsage, fmt.Errorf("--from is %q and --to is %q: use %s for one and %s for the other", o.from, o.to, storeEmbedded, storeKubernetes)}
	}
	from, err := o.open(ctx, o.from, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if o.dryRun && o.to == storeEmbedded {
		if _, err := os.Stat(server.RegistryFile(o.dataDir)); errors.Is(err, fs.ErrNotExist) {
			return o.foresee(ctx, out, from, nothing{})
		}
	}
	to, err := o.open(ctx, o.to, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if o.dryRun {
		return o.foresee(ctx, out, from, to)
	}
	return o.migrate(ctx, out, from, to)
}

// nothing is a store that has yet to be made.
type nothing struct{ registry.Store }

func (nothing) List(context.Context, registry.Kind, string) ([]registry.Object, error) {
	return nil, nil
}

func (o *migrateOptions) open(ctx context.Context, where string, mayMake bool) (registry.Store, error) {
	if where == storeEmbedded {
		file := server.RegistryFile(o.dataDir)
		if _, err := os.Stat(file); err != nil && !mayMake {
			return nil, &exitError{exitUsage, fmt.Errorf("%w: say where the registry is with --data-dir", err)}
		}
		store, err := boltstore.Open(file)
		if errors.Is(err, boltstore.ErrInUse) {
			return nil, fmt.Errorf("%w, so that nothing is written that would not be copied", err)
		}
		return store, err
	}
	config, err := o.kubectl.config()
	if err != nil {
		return nil, err
	}
	store, err := kubestore.Open(ctx, config, kubestore.Options{CreateNamespaces: o.createNamespaces, Person: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("%w. The cluster must know drey's objects first: drey install, or kubectl apply --server-side -k manifests/crds", err)
	}
	return store, nil
}

// keeps tells of which kinds the other store has objects. The cluster has tokens of its
// own.
func (o *migrateOptions) keeps(kind registry.Kind) bool {
	return o.to == storeEmbedded || kind != registry.APIToken
}

// foresee says what would be done.
func (o *migrateOptions) foresee(ctx context.Context, out io.Writer, from, to registry.Store) error {
	steps, err := migration.Plan(ctx, from, to, o.keeps)
	if err != nil {
		return err
	}
	if err := printPlan(out, steps); err != nil {
		return err
	}
	return o.printHomeless(ctx, out, steps)
}

// printHomeless names the platform namespaces that cannot be copied yet: there is no
// Kubernetes namespace to keep them in.
func (o *migrateOptions) printHomeless(ctx context.Context, out io.Writer, steps []migration.Step) error {
	if o.to != storeKubernetes || o.createNamespaces {
		return nil
	}
	config, err := o.kubectl.config()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.State != migration.Missing || s.Object.Kind != registry.Namespace {
			continue
		}
		name := s.Object.Metadata.Name
		_, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			fmt.Fprintf(out, "Platform namespace %q cannot be copied yet, for there is no Kubernetes namespace of its name: kubectl create namespace %s, or give --create-namespaces.\n", name, name)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (o *migrateOptions) migrate(ctx context.Context, out io.Writer, from, to registry.Store) error {
	steps, err := migration.Plan(ctx, from, to, o.keeps)
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
			fmt.Fprintf(out, "%d of %d are copied\n", copied, all)
		}
	})
	fmt.Fprintf(out, "%d of %d are copied\n", copied, all)
	if failed != nil {
		return fmt.Errorf("%w. Mend that, and run it again: what is copied stays", failed)
	}
	// What is there now is read again: a copy that only should be there is none.
	steps, err = migration.Plan(ctx, from, to, o.keeps)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.State == migration.Missing || s.State == migration.Differs {
			return fmt.Errorf("%s was copied, and is not there as it was: %s", migration.Name(s.Object), s.Why)
		}
	}
	_, err = fmt.Fprintln(out, "All of it is there, and the same.")
	return err
}

// printPlan prints a plan. It fails if the stores disagree.
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
	table := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
	fmt.Fprintln(table, "KIND\tTO COPY\tTHERE\tDIFFERENT\tLEFT")
	for _, kind := range kinds {
		c := counts[kind]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\n", kind, c[migration.Missing], c[migration.There], c[migration.Differs], c[migration.Left])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if counts[registry.APIToken][migration.Left] > 0 {
		fmt.Fprintln(out, "API tokens are left: the cluster has its own, of ServiceAccounts (kubectl create token NAME -n NAMESPACE).")
	}
	different := 0
	for _, s := range steps {
		if s.State == migration.Differs {
			different++
			fmt.Fprintf(out, "%s is there already, and is another: %s\n", migration.Name(s.Object), s.Why)
		}
	}
	if different > 0 {
		return &exitError{exitRefused, errors.New("nothing was copied: delete one of each two that differ, or make them the same, and run it again")}
	}
	return nil
}
