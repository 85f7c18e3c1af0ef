// The program creates, reads, updates and deletes with the client that is generated for Go.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"example.com/generated/client"
)

func must[T any](v T, _ *http.Response, err error) T {
	if err != nil {
		if e, ok := err.(*client.GenericOpenAPIError); ok {
			log.Fatalf("%v: %s", err, e.Body())
		}
		log.Fatal(err)
	}
	return v
}

func text(s string) *string { return &s }

func main() {
	ctx, namespace := context.Background(), os.Args[2]
	config := client.NewConfiguration()
	config.Servers = client.ServerConfigurations{{URL: os.Args[1]}}
	api := client.NewAPIClient(config)

	must(api.NamespacesAPI.CreateNamespace(ctx).NamespaceInput(*client.NewNamespaceInput(client.NamespaceInputName{String: &namespace})).Execute())
	spec := client.NewDeploymentTargetCreationSpecKubernetes()
	spec.SetNamespace(client.DeploymentTargetCreationSpecKubernetesNamespace{String: text("flink")})
	target := must(api.DeploymentTargetsAPI.CreateDeploymentTarget(ctx, namespace).DeploymentTargetCreation(*client.NewDeploymentTargetCreation(
		*client.NewTargetMetadataCreation(client.TargetMetadataCreationName{String: text("vvp")}), *client.NewDeploymentTargetCreationSpec(*spec))).Execute())
	if target.Metadata.Name != "vvp" || target.Metadata.ResourceVersion != 1 {
		log.Fatalf("the target: %+v", target)
	}
	if _, response, err := api.DeploymentTargetsAPI.GetDeploymentTarget(ctx, namespace, "missing").Execute(); err == nil || response.StatusCode != http.StatusNotFound {
		log.Fatalf("a missing target: %v", err)
	}
	made := must(api.DeploymentsAPI.CreateDeployment(ctx, namespace).DeploymentCreation(*client.NewDeploymentCreation(
		*client.NewMetadataCreation(client.MetadataCreationName{String: text("orders")}), map[string]any{"state": "RUNNING", "deploymentTargetName": "vvp"})).Execute())
	if made.Status.State == "" {
		log.Fatalf("the Deployment: %+v", made)
	}
	stopped := must(api.DeploymentsAPI.PatchDeployment(ctx, namespace, "orders").RequestBody(map[string]any{"spec": map[string]any{"state": "CANCELLED"}}).Execute())
	if stopped.Status.State != "CANCELLED" {
		log.Fatalf("the state: %s", stopped.Status.State)
	}
	if list := must(api.DeploymentsAPI.ListDeployments(ctx, namespace).Execute()); len(list.Items) != 1 {
		log.Fatalf("the list: %+v", list)
	}
	if events := must(api.EventsAPI.ListEvents(ctx, namespace).DeploymentId(made.Metadata.Id).Execute()); len(events.Items) < 2 {
		log.Fatalf("the events: %+v", events)
	}
	must(api.DeploymentsAPI.DeleteDeployment(ctx, namespace, "orders").Execute())
	must(api.DeploymentTargetsAPI.DeleteDeploymentTarget(ctx, namespace, "vvp").Execute())
	must(api.NamespacesAPI.DeleteNamespace(ctx, namespace).Execute())
}
