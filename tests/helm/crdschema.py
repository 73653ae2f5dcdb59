"""Strict schemas of the kinds that are not Kubernetes' own: the Prometheus operator's and KServe's."""

import functools

import jsonschema
import kubeschema
from referencing import Resource

# Fields of KServe's ServingRuntimeSpec (serving.kserve.io/v1alpha1) that a runtime for single models has. What
# is a Pod's is held to Kubernetes' schema. It has no init containers, security context of the Pod or probes
# of its own.
CORE = "https://kubernetes.io/api/_definitions.json#/$defs/io.k8s.api.core.v1."
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
MODEL_FORMAT = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "autoSelect": {"type": "boolean"},
        "priority": {"type": "integer", "minimum": 1},
    },
}
SERVING_RUNTIME = {
    "type": "object",
    "required": ["containers"],
    "additionalProperties": False,
    "properties": {
        "supportedModelFormats": {"type": "array", "items": MODEL_FORMAT},
        "protocolVersions": {"type": "array", "items": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]}},
        "multiModel": {"type": "boolean"},
        "disabled": {"type": "boolean"},
        "containers": {"type": "array", "minItems": 1, "items": {"$ref": CORE + "Container"}},
        "volumes": {"type": "array", "items": {"$ref": CORE + "Volume"}},
        "nodeSelector": STRINGS,
        "affinity": {"$ref": CORE + "Affinity"},
        "tolerations": {"type": "array", "items": {"$ref": CORE + "Toleration"}},
        "labels": STRINGS,
        "annotations": STRINGS,
        "imagePullSecrets": {"type": "array", "items": {"$ref": CORE + "LocalObjectReference"}},
        "hostIPC": {"type": "boolean"},
    },
}
# Those of its InferenceService (serving.kserve.io/v1beta1) that name a runtime and a model.
MODEL = {
    "type": "object",
    "required": ["modelFormat"],
    "additionalProperties": False,
    "properties": {
        "modelFormat": {"type": "object", "required": ["name"], "additionalProperties": {"type": "string"}},
        "runtime": {"type": "string"},
        "storageUri": {"type": "string"},
        "protocolVersion": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]},
        "resources": {"$ref": CORE + "ResourceRequirements"},
    },
}
PREDICTOR = {
    "type": "object",
    "required": ["model"],
    "additionalProperties": False,
    "properties": {
        "model": MODEL,
        # It has the fields of a PodSpec beside these.
        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 0},
        "minReplicas": {"type": "integer", "minimum": 0},
        "maxReplicas": {"type": "integer", "minimum": 0},
        "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]},
        "scaleTarget": {"type": "integer"},
        "nodeSelector": STRINGS,
        "tolerations": {"type": "array", "items": {"$ref": CORE + "Toleration"}},
    },
}
INFERENCE_SERVICE = {
    "type": "object",
    "required": ["predictor"],
    "additionalProperties": False,
    "properties": {"predictor": PREDICTOR},
}
KSERVE = {"ServingRuntime": SERVING_RUNTIME, "InferenceService": INFERENCE_SERVICE}


def knows(document):
    """Whether `document` is of such a kind."""
    return document["apiVersion"] == "monitoring.coreos.com/v1" or is_kserve(document)


def is_kserve(document):
    return document["apiVersion"].startswith("serving.kserve.io/")


def faults(document):
    """What is wrong with `document`, a line a fault."""
    if is_kserve(document):
        found = kserve(document["kind"]).iter_errors(document.get("spec", {}))
        return [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}" for fault in found]
    return monitoring_faults(document)


def monitoring_faults(document):
    """The models check types and ignore fields they do not know: what does not come back was unknown."""
    from cloudcoil.models.prometheus_operator import v1
    from pydantic import ValidationError

    try:
        model = getattr(v1, document["kind"]).model_validate(document)
    except ValidationError as fault:
        return [f"{'/'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]
    known = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return [f"{path}: unknown field" for path in lost(document, known)]


def lost(given, kept, path=""):
    """The paths of `given` that are not in `kept`."""
    if isinstance(given, dict):
        for key, value in given.items():
            below = f"{path}/{key}".lstrip("/")
            if not isinstance(kept, dict) or key not in kept:
                yield below
            else:
                yield from lost(value, kept[key], below)
    elif isinstance(given, list):
        for place, value in enumerate(given):
            yield from lost(value, kept[place], f"{path}/{place}")


@functools.lru_cache(maxsize=None)
def kserve(kind):
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": kind, **KSERVE[kind]}
    registry = Resource.from_contents(schema) @ kubeschema.definitions(kubeschema.LATEST)
    return jsonschema.Draft202012Validator(schema, registry=registry)
