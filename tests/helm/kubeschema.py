"""Kubernetes' own schemas, strict: a field that a kind does not have is a fault. Each is loaded once."""

import functools
import re

import jsonschema
from kubernetes_validate import utils
from referencing import Registry, Resource

# Every minor version that the package has a schema of, as `1.25.0`, from the oldest the chart runs on.
VERSIONS = [version for version in dict.fromkeys(utils.all_versions()) if int(version.split(".")[1]) >= 25]
LATEST = VERSIONS[-1]


def faults(document, version=LATEST):
    """What is wrong with `document`, a line a fault. Raises `KeyError` for a kind that Kubernetes itself lacks."""
    found = validator(document["apiVersion"], document["kind"], version).iter_errors(document)
    return ["{}: {}".format("/".join(map(str, fault.absolute_path)), fault.message) for fault in found]


@functools.lru_cache(maxsize=None)
def validator(api_version, kind, version):
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    folder = "kubernetes-json-schema/v{}-local-strict".format(version)
    try:
        schema = utils.schema_contents("{}/{}-{}.json".format(folder, kind.lower(), group), version)
    except FileNotFoundError:
        raise KeyError("Kubernetes {} has no {} {}".format(version, api_version, kind)) from None
    registry = Resource.from_contents(schema) @ definitions(version)
    return jsonschema.Draft202012Validator(schema, registry=registry)


@functools.lru_cache(maxsize=None)
def definitions(version):
    content = utils.schema_contents("kubernetes-json-schema/v{}-local-strict/_definitions.json".format(version), version)
    return Resource.from_contents(content) @ Registry()
