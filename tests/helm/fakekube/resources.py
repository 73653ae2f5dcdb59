"""The kinds that are served, and the documents by which clients discover them."""

from dataclasses import dataclass

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True)
class Resource:
    """One kind: where it is in the API, and whether it lives in a namespace."""

    group_version: str
    plural: str
    kind: str
    namespaced: bool = True


KINDS = {
    "v1": ["ConfigMap", "Event", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"],
    "apps/v1": ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "batch/v1": ["CronJob", "Job"],
    "monitoring.coreos.com/v1": ["PodMonitor", "PrometheusRule", "ServiceMonitor"],
    "networking.k8s.io/v1": ["Ingress", "NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
    "rbac.authorization.k8s.io/v1": ["Role", "RoleBinding"],
    "serving.kserve.io/v1alpha1": ["ServingRuntime"],
    "serving.kserve.io/v1beta1": ["InferenceService"],
}


def plural_of(kind):
    name = kind.lower()
    return name[:-1] + "ies" if name.endswith("y") else name + ("es" if name.endswith("ss") else "s")


NAMESPACES = Resource("v1", "namespaces", "Namespace", namespaced=False)
RESOURCES = {(group, plural_of(kind)): Resource(group, plural_of(kind), kind) for group in KINDS for kind in KINDS[group]}
RESOURCES["v1", "namespaces"] = NAMESPACES


def of_kind(kind):
    """The resource of `kind`; kinds are unique here."""
    return next(resource for resource in RESOURCES.values() if resource.kind == kind)


def groups():
    """The answer to `/apis`."""
    versions = {}
    for name in KINDS:
        group, _, version = name.rpartition("/")
        if group:
            versions.setdefault(group, []).append({"groupVersion": name, "version": version})
    listed = [{"name": group, "versions": found, "preferredVersion": found[-1]} for group, found in versions.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def kinds_of(group_version):
    """The answer to `/api/v1` or `/apis/GROUP/VERSION`; `None` where there is no such group."""
    found = [resource for resource in RESOURCES.values() if resource.group_version == group_version]
    listed = [
        {
            "name": resource.plural,
            "singularName": resource.kind.lower(),
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": VERBS,
        }
        for resource in found
    ]
    document = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}
    return document if found else None
