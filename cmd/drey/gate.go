package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/gate"
)

// newKeeper prepares what marks the namespaces that have a target.
func (s *service) newKeeper() (*gate.Keeper, error) {
	config := rest.CopyConfig(s.cluster)
	config.QPS, config.Burst = 50, 100
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return gate.NewKeeper(gate.KeeperOptions{
		Client: client, HasTarget: func(namespace string) bool { return len(s.index.Targets(namespace)) > 0 },
		Runs: func(namespace string) bool { return s.runs(namespace) }, Exclude: s.options.excluded(), Log: s.log,
	}), nil
}

// markAtOnce marks the namespace of a target that was just made: whoever made it may
// go on with a pod. Where that fails, the keeper does it a little later.
func (s *service) markAtOnce(ctx context.Context, target registry.Object) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.keeper.Set(ctx, registry.TargetNamespace(target, s.options.namespace)); err != nil {
		s.log.Warn("namespace not marked yet", "target", target.Metadata.Name, "error", err)
	}
}

// keepMarks keeps the marks until ctx ends.
func (s *service) keepMarks(ctx context.Context) error {
	err := s.store.Watch(ctx, registry.DeploymentTarget, func(e registry.Event) {
		s.keeper.Changed(registry.TargetNamespace(e.Object, s.options.namespace))
	})
	if err != nil {
		return err
	}
	return s.keeper.Run(ctx)
}

// installPolicies writes the built-in policies by server-side apply.
func (s *service) installPolicies(ctx context.Context) error {
	api, err := admissionclient.NewForConfig(s.cluster)
	if err != nil {
		return err
	}
	self, err := whoAmI(ctx, s.cluster)
	if err != nil {
		return err
	}
	mode, err := webhook.ParseMode(s.options.mode)
	if err != nil {
		return err
	}
	policies, bindings := gate.Policies(gate.Options{
		Exclude: s.options.excluded(), Mode: mode, Self: self, Home: s.options.namespace, Register: s.address().Command("NAMESPACE", registry.DefaultNamespace),
	})
	options := metav1.PatchOptions{FieldManager: "drey", Force: new(true)}
	for _, p := range policies {
		text, err := json.Marshal(p)
		if err == nil {
			_, err = api.ValidatingAdmissionPolicies().Patch(ctx, p.Name, types.ApplyPatchType, text, options)
		}
		if err != nil {
			return fmt.Errorf("install the policy %s: %w", p.Name, err)
		}
	}
	for _, b := range bindings {
		text, err := json.Marshal(b)
		if err == nil {
			_, err = api.ValidatingAdmissionPolicyBindings().Patch(ctx, b.Name, types.ApplyPatchType, text, options)
		}
		if err != nil {
			return fmt.Errorf("install the binding of the policy %s: %w", b.Name, err)
		}
	}
	return nil
}

// whoAmI is the name by which the API server knows drey.
func whoAmI(ctx context.Context, config *rest.Config) (string, error) {
	api, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return "", err
	}
	review, err := api.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("ask the API server who drey is: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
