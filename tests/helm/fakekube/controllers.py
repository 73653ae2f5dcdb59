"""What happens after an object is written: everything that is asked for is there at once.

Two exceptions make failures possible: whether a Deployment becomes ready, and what a Pod runs, is up to the test.
"""

import copy
import hashlib
import json
import threading

from .resources import of_kind


def react(cluster, resource, item):
    """Brings about what `item` asks for."""
    actions = {"Deployment": roll_out, "PersistentVolumeClaim": bind, "Pod": start, "Service": expose}
    if resource.kind in actions:
        actions[resource.kind](cluster, resource, item)


def roll_out(cluster, resource, deployment):
    """A ReplicaSet for the template, and the Deployment's status."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    digest = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}
    owned = {
        "name": f"{metadata['name']}-{digest}",
        "labels": {**spec["template"]["metadata"]["labels"], "pod-template-hash": digest},
        "ownerReferences": [{**owner, "controller": True}],
    }
    template = {"selector": spec["selector"], "template": spec["template"], "replicas": spec["replicas"]}
    document = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": owned, "spec": template}
    replica_set = cluster.store.put(of_kind("ReplicaSet"), metadata["namespace"], document)
    ready = cluster.is_ready(deployment)
    count = spec["replicas"] if ready else 0
    counts = {"replicas": spec["replicas"], "readyReplicas": count, "availableReplicas": count}
    generation = replica_set["metadata"]["generation"]
    set_status(cluster, of_kind("ReplicaSet"), replica_set, observedGeneration=generation, **counts)
    conditions = [
        {"type": "Available", "status": str(ready)},
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" if ready else "ReplicaSetUpdated"},
    ]
    counts.update(observedGeneration=metadata["generation"], updatedReplicas=spec["replicas"])
    set_status(cluster, resource, deployment, conditions=conditions, **counts)


def bind(cluster, resource, claim):
    set_status(cluster, resource, claim, phase="Bound")


def expose(cluster, resource, service):
    balanced = service["spec"].get("type") == "LoadBalancer"
    set_status(cluster, resource, service, loadBalancer={"ingress": [{"ip": "192.0.2.1"}]} if balanced else {})


def start(cluster, resource, pod):
    """Runs a Pod's container to its end, beside the request that made it; once."""
    if "status" in pod:
        return
    pod = set_status(cluster, resource, pod, phase="Pending")
    threading.Thread(target=run_to_end, args=(cluster, resource, pod), daemon=True).start()


def run_to_end(cluster, resource, pod):
    key = pod["metadata"]["namespace"], pod["metadata"]["name"]
    try:
        succeeded, log = cluster.run_pod(cluster, pod)
    except Exception as fault:  # a broken test must end the wait of Helm, too
        succeeded, log = False, f"the Pod could not be run: {fault!r}\n"
    cluster.logs[key] = log
    pod = cluster.store.get(resource, *key)
    if pod is not None:
        set_status(cluster, resource, pod, phase="Succeeded" if succeeded else "Failed")


def set_status(cluster, resource, item, **status):
    """Stores `item` with this status, if that is news."""
    if item.get("status") == status:
        return item
    return cluster.store.put(resource, item["metadata"]["namespace"], {**copy.deepcopy(item), "status": status})
