"""What stands between a request and the store: defaults, schemas, and what may not change."""

import re

import crdschema
import kubeschema

from .store import ApiError

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def admit(resource, new, old):
    """Fills in `new`, or raises `ApiError`; `old` is the stored state, or `None`."""
    for key, value in (("apiVersion", resource.group_version), ("kind", resource.kind)):
        if new.setdefault(key, value) != value:
            raise ApiError(400, "BadRequest", f"{key} {new[key]} is not {value}")
    name = new["metadata"].get("name", "")
    if not NAME.fullmatch(name):
        raise ApiError(422, "Invalid", f"{resource.kind} {name!r}: metadata/name: not a DNS name")
    found = faults({key: value for key, value in new.items() if key != "status"}) + frozen(new, old)
    if found:
        raise ApiError(422, "Invalid", f"{resource.kind} {name}: {'; '.join(found)}")
    new.pop("status", None)
    if old and "status" in old:
        new["status"] = old["status"]
    fill(new)


def faults(document):
    """What the schema of its kind says against `document`."""
    check = crdschema.faults if crdschema.knows(document) else kubeschema.faults
    return check(document)


def frozen(new, old):
    """The fields that a change may not touch and does."""
    paths = {"Deployment": ["selector"], "PersistentVolumeClaim": ["storageClassName", "accessModes"]}
    touched = [
        path for path in paths.get(new["kind"], []) if old and old["spec"].get(path) != new["spec"].get(path)
    ]
    return [f"spec/{path}: field is immutable" for path in touched]


def fill(new):
    """The defaults that clients rely on."""
    if new["kind"] == "Deployment":
        new["spec"].setdefault("replicas", 1)
        new["spec"].setdefault("strategy", {"type": "RollingUpdate"})
        if new["spec"]["strategy"]["type"] == "RollingUpdate":
            new["spec"]["strategy"].setdefault("rollingUpdate", {"maxSurge": "25%", "maxUnavailable": "25%"})
    if new["kind"] == "Service":
        new["spec"].setdefault("clusterIP", "10.96.0.10")
