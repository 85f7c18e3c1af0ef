package verdicts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/webhook"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/owners"
	"drey.dev/drey/webhook/verdict"
)

// live explains objects of the cluster, with their owners.
func (s *source) live(ctx context.Context, references []kubectl.Reference, known verdict.Caches) ([]verdict.Explanation, error) {
	config, err := s.client.Kubectl.Config()
	if err != nil {
		return nil, err
	}
	objects, err := kubectl.NewObjects(config)
	if err != nil {
		return nil, err
	}
	finder, err := owners.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	known.Running = finder
	if known.Registered, err = registeredLabels(ctx, config); err != nil {
		return nil, err
	}
	var all []verdict.Explanation
	for _, r := range references {
		e, err := s.liveObject(ctx, objects, finder, known, r)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func (s *source) liveObject(ctx context.Context, objects *kubectl.Objects, finder *owners.Owners, known verdict.Caches, r kubectl.Reference) (e verdict.Explanation, err error) {
	m, err := objects.Get(ctx, s.defaultNamespace(), r)
	if err != nil {
		return e, err
	}
	w, ok, err := webhook.Recognize(m.APIVersion, m.Kind, s.defaultNamespace(), m.Text)
	if err != nil || !ok {
		return e, errors.Join(err, command.WithCode(command.ExitUsage, fmt.Errorf("%s is not a workload: admission does not apply to the kind %s", r, m.Kind)))
	}
	if w.Recognized() {
		w, _ = webhook.WithOwners(ctx, w, finder, known)
	}
	e = verdict.Decide(w, known).Explain(s.registerHint())
	if chain := objects.Owners(ctx, s.defaultNamespace(), m.Text); len(chain) > 0 {
		e.Owners = chain // drey derives some from names, without reading them
	}
	return e, nil
}

// toDo returns what to do about a workload that admission admitted, empty if nothing.
func (s *source) toDo(e verdict.Explanation) string {
	if slices.Contains(webhookconfig.SystemNamespaces, e.Namespace) {
		return fmt.Sprintf("nothing: drey does not serve namespace %s, so it denies and labels nothing there", e.Namespace)
	}
	if !s.isLive || !e.Allowed {
		return "" // the message of a denial has its remedy
	}
	var missing, wrong []string
	for _, l := range e.Labels {
		switch l.Action {
		case verdict.ActionAdd:
			missing = append(missing, l.Key)
		case verdict.ActionWrongMode:
			wrong = append(wrong, l.Key)
		}
	}
	repair := fmt.Sprintf("drey audit -n %s --repair", e.Namespace)
	switch {
	case len(wrong) > 0:
		return fmt.Sprintf("remove the labels %s, which are of another mode: %s", strings.Join(wrong, ", "), repair)
	case len(missing) > 0:
		return "the running drey adds the missing labels within minutes; or at once: " + repair
	}
	return ""
}

// commonTypes are the types that the completion of explain offers.
var commonTypes = []string{"pod", "deployment", "statefulset", "job", "cronjob", "replicaset", "daemonset", "service", "configmap", "flinkdeployment", "flinksessionjob", "flinkbluegreendeployment"}

func (s *source) completeObject(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	config, err := s.client.Kubectl.Config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	objects, err := kubectl.NewObjects(config)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := objects.Complete(cmd.Context(), s.defaultNamespace(), commonTypes, args, toComplete)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	if !strings.Contains(toComplete, "/") {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return names, directive
}
