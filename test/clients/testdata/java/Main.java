import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.DeploymentTargetsApi;
import org.openapitools.client.api.DeploymentsApi;
import org.openapitools.client.api.EventsApi;
import org.openapitools.client.api.NamespacesApi;
import org.openapitools.client.model.DeploymentCreation;
import org.openapitools.client.model.DeploymentTargetCreation;
import org.openapitools.client.model.MetadataCreation;
import org.openapitools.client.model.NamespaceInput;
import org.openapitools.client.model.State;
import org.openapitools.client.model.TargetMetadataCreation;

/** Creates, reads, updates and deletes with the client that is generated for Java. */
public class Main {
  static void check(boolean ok, Object what) {
    if (!ok) {
      throw new AssertionError(what);
    }
  }

  public static void main(String[] args) throws Exception {
    String namespace = args[1];
    ApiClient api = new ApiClient();
    api.updateBaseUri(args[0]);
    NamespacesApi namespaces = new NamespacesApi(api);
    DeploymentTargetsApi targets = new DeploymentTargetsApi(api);
    DeploymentsApi deployments = new DeploymentsApi(api);

    namespaces.createNamespace(new NamespaceInput().name(namespace));
    var target = targets.createDeploymentTarget(namespace, new DeploymentTargetCreation()
        .metadata(new TargetMetadataCreation().name("vvp"))
        .spec(Map.of("kubernetes", Map.of("namespace", "flink"))));
    check("vvp".equals(target.getMetadata().getName()) && target.getMetadata().getResourceVersion() == 1, target);
    try {
      targets.getDeploymentTarget(namespace, "missing", null);
      check(false, "there is a missing target");
    } catch (ApiException e) {
      check(e.getCode() == 404, e);
    }
    var made = deployments.createDeployment(namespace, new DeploymentCreation()
        .metadata(new MetadataCreation().name("orders"))
        .spec(Map.of("state", "RUNNING", "deploymentTargetName", "vvp")));
    check(made.getStatus().getState() != null, made);
    var stopped = deployments.patchDeployment(namespace, "orders", Map.of("spec", Map.of("state", "CANCELLED")), null);
    check(stopped.getStatus().getState() == State.StateEnum.CANCELLED, stopped);
    check(deployments.listDeployments(namespace, null, null, null).getItems().size() == 1, "the list");
    check(new EventsApi(api).listEvents(namespace, made.getMetadata().getId().toString(), null).getItems().size() >= 2, "the events");
    deployments.deleteDeployment(namespace, "orders", null);
    targets.deleteDeploymentTarget(namespace, "vvp", null);
    namespaces.deleteNamespace(namespace);
  }
}
