package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Requester is the user on whose behalf an object is written. A target admits Flink to a
// Kubernetes namespace, so its creator must be allowed to create pods there.
type Requester interface {
	// Name is the user name, for logs and messages.
	Name() string
	// MayCreatePods reports whether the user may create pods in a Kubernetes namespace. The
	// error means that the check failed.
	MayCreatePods(ctx context.Context, kubernetesNamespace string) (bool, error)
}

// checkClaim refuses a target for a Kubernetes namespace in which the requester may not create
// pods. nil may.
func (r *Registry) checkClaim(ctx context.Context, o Object, by Requester) error {
	if by == nil || o.Kind != DeploymentTarget {
		return nil
	}
	namespace := targetNamespace(o, r.ownNamespace)
	may, err := by.MayCreatePods(ctx, namespace)
	if err != nil {
		return fmt.Errorf("check whether %s may create pods: %w", by.Name(), err)
	}
	if may {
		return nil
	}
	if namespace == r.ownNamespace || slices.Contains(r.excludedNamespaces, namespace) { // no remedy that grants permissions there
		return refuse(ReasonClaimForbidden, "%s may not create pods in Kubernetes namespace %s, so they may not register a target for it either. "+
			"Register one for a namespace of your own: drey leaves this one alone, which is its own or the system's", by.Name(), quote(namespace))
	}
	return refuse(ReasonClaimForbidden, "%s may not create pods in Kubernetes namespace %s, so they may not register a target for it either. "+
		"Register one for a namespace of your own, or have an admin of the cluster grant the right: %s", by.Name(), quote(namespace), grantCommand(by.Name(), namespace))
}

// claimIfAbsent runs checkClaim for a target that does not exist yet, and reports whether it
// did. It makes requests to the cluster: not under the guard.
func (r *Registry) claimIfAbsent(ctx context.Context, o Object, by Requester) (claimed bool, err error) {
	if by == nil || o.Kind != DeploymentTarget {
		return false, nil
	}
	if o, err = r.admit(ctx, o); err != nil {
		return false, err
	}
	if _, err := r.store.Get(ctx, o.Key(), Consistent); !errors.Is(err, ErrNotFound) {
		return false, err
	}
	return true, r.checkClaim(ctx, o, by)
}

// grantCommand returns the command that permits a user to create pods in a Kubernetes namespace.
func grantCommand(user, namespace string) string {
	subject := "--user=" + shellQuote(user)
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		subject = "--serviceaccount=" + shellQuote(account)
	}
	if !checkNamespaceName(namespace) { // cannot exist
		namespace = "NAMESPACE"
	}
	name := "flink-" + strings.ReplaceAll(user, ":", "-") // as in the message of the admission policy
	if !roleBindingNames.MatchString(name) {
		name = LabelValue("flink " + user)
	}
	return fmt.Sprintf("kubectl create rolebinding %s -n %s --clusterrole=edit %s", name, namespace, subject)
}

var roleBindingNames = regexp.MustCompile(`^[0-9A-Za-z_@+=,.-]+$`)

var shellWords = regexp.MustCompile(`^[0-9A-Za-z_@%+=:,./-]+$`)

// shellQuote quotes untrusted text as one word of a shell.
func shellQuote(text string) string {
	if shellWords.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
