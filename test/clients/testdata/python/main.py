"""Creates, reads, updates and deletes with the client that is generated for Python."""

import sys

import openapi_client as client

url, namespace = sys.argv[1:]
api = client.ApiClient(client.Configuration(host=url))
namespaces, targets = client.NamespacesApi(api), client.DeploymentTargetsApi(api)
deployments, events = client.DeploymentsApi(api), client.EventsApi(api)

namespaces.create_namespace(client.NamespaceInput.from_dict({"name": namespace}))
target = targets.create_deployment_target(
    namespace,
    client.DeploymentTargetCreation.from_dict({"metadata": {"name": "vvp"}, "spec": {"kubernetes": {"namespace": "flink"}}}),
)
assert target.metadata.name == "vvp" and target.metadata.resource_version == 1, target
try:
    targets.get_deployment_target(namespace, "missing")
    raise AssertionError("there is a missing target")
except client.ApiException as e:
    assert e.status == 404, e
made = deployments.create_deployment(
    namespace,
    client.DeploymentCreation.from_dict({"metadata": {"name": "orders"}, "spec": {"state": "RUNNING", "deploymentTargetName": "vvp"}}),
)
assert made.status.state, made
stopped = deployments.patch_deployment(namespace, "orders", {"spec": {"state": "CANCELLED"}})
assert stopped.status.state == "CANCELLED", stopped
assert len(deployments.list_deployments(namespace).items) == 1
assert len(events.list_events(namespace, deployment_id=str(made.metadata.id)).items) >= 2
deployments.delete_deployment(namespace, "orders")
targets.delete_deployment_target(namespace, "vvp")
namespaces.delete_namespace(namespace)
