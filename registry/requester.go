package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Claimant is somebody who would register a target. Whoever does so opens a
// Kubernetes namespace to Flink, so it must be one in which they may run pods
// themselves: nobody claims a namespace that is not theirs.
type Claimant interface {
	// Name is for logs and messages. It is no secret.
	Name() string
	// MayRunIn tells whether they may create pods in a Kubernetes namespace. The
	// error is a failure to find out.
	MayRunIn(ctx context.Context, kubernetesNamespace string) (bool, error)
}

type claimantKey struct{}

// ClaimedBy returns a context in which targets are made by who, for Kubernetes
// namespaces in which they may run pods. Without it they are made for any.
func ClaimedBy(ctx context.Context, who Claimant) context.Context {
	return context.WithValue(ctx, claimantKey{}, who)
}

// checkClaim refuses a target for a Kubernetes namespace in which whoever makes
// it may not run pods.
func (r *Registry) checkClaim(ctx context.Context, o Object) error {
	who, ok := ctx.Value(claimantKey{}).(Claimant)
	if !ok || o.Kind != DeploymentTarget {
		return nil
	}
	namespace := targetNamespace(o, r.home)
	may, err := who.MayRunIn(ctx, namespace)
	if err != nil {
		return fmt.Errorf("find out whether %s may claim a Kubernetes namespace: %w", who.Name(), err)
	}
	if may {
		return nil
	}
	if namespace == r.home || slices.Contains(r.unserved, namespace) { // nobody should be given more rights there
		return refuse(ReasonClaimForbidden, "%s may not create pods in Kubernetes namespace %s, so they may not register a target for it either. "+
			"Register one for a namespace of your own: drey leaves this one alone, which is its own or the system's", who.Name(), quote(namespace))
	}
	return refuse(ReasonClaimForbidden, "%s may not create pods in Kubernetes namespace %s, so they may not register a target for it either. "+
		"Register one for a namespace of your own, or have an admin of the cluster grant the right: %s", who.Name(), quote(namespace), grantCommand(who.Name(), namespace))
}

// claimIfAbsent asks about a target that would be made, and says whether it did.
// The cluster is asked: before the guard, as in [Registry.Delete].
func (r *Registry) claimIfAbsent(ctx context.Context, o Object) (claimed bool, err error) {
	if _, asked := ctx.Value(claimantKey{}).(Claimant); !asked || o.Kind != DeploymentTarget {
		return false, nil
	}
	if o, err = r.admit(ctx, o); err != nil {
		return false, err
	}
	if _, err := r.store.Get(ctx, o.Key()); !errors.Is(err, ErrNotFound) {
		return false, err
	}
	return true, r.checkClaim(ctx, o)
}

// grantCommand lets a user run pods in a Kubernetes namespace.
func grantCommand(user, namespace string) string {
	subject := "--user=" + shellQuote(user)
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		subject = "--serviceaccount=" + shellQuote(account)
	}
	if !checkNamespaceName(namespace) { // there is none that can be granted
		namespace = "NAMESPACE"
	}
	name := "flink-" + strings.ReplaceAll(user, ":", "-") // as the policy of package gate has it
	if !roleBindingNames.MatchString(name) {
		name = LabelValue("flink " + user)
	}
	return fmt.Sprintf("kubectl create rolebinding %s -n %s --clusterrole=edit %s", name, namespace, subject)
}

var roleBindingNames = regexp.MustCompile(`^[0-9A-Za-z_@+=,.-]+$`)

var shellWords = regexp.MustCompile(`^[0-9A-Za-z_@%+=:,./-]+$`)

// shellQuote writes a text that anybody may have chosen as one word of a shell.
func shellQuote(text string) string {
	if shellWords.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
