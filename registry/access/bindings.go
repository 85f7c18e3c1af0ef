package access

import (
	"regexp"
	"slices"

	"drey.dev/drey/registry"
)

// Authenticated is the member of role bindings that stands for all callers with a valid API token.
const Authenticated = "system:authenticated"

// memberOf returns the member of role bindings that stands for an API token: its name in the REST API.
func memberOf(token registry.Metadata) string {
	return "namespaces/" + token.Namespace + "/apitokens/" + token.Name
}

var tokenMembers = regexp.MustCompile(`^namespaces/(\*|[0-9a-z-]+)/apitokens/[0-9a-zA-Z_-]+$`)

// UnknownMembers returns the members of role bindings that stand for no API token: users and groups of
// an identity provider, which drey does not have.
func UnknownMembers(bindings []registry.RoleBinding) []string {
	var unknown []string
	for _, b := range bindings {
		for _, member := range b.Members {
			if member != Authenticated && !tokenMembers.MatchString(member) && !slices.Contains(unknown, member) {
				unknown = append(unknown, member)
			}
		}
	}
	return unknown
}

// bound reports whether the role bindings of a platform namespace permit a request of a member.
func (t *Tokens) bound(member string, r Request) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, b := range t.bindings[r.Namespace] {
		if Role(b.Role).Allows(r.Verb, r.Kind) && (slices.Contains(b.Members, Authenticated) || slices.Contains(b.Members, member)) {
			return true
		}
	}
	return false
}

// TokensOf returns the [Tokens] among authenticators; nil: none.
func TokensOf(a Authenticator) *Tokens {
	switch a := a.(type) {
	case *Tokens:
		return a
	case Any:
		for _, one := range a {
			if t := TokensOf(one); t != nil {
				return t
			}
		}
	}
	return nil
}
