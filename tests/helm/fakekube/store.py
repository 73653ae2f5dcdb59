"""Objects by place and name, a revision for each change, and watches of both."""

import copy
import re
import threading
import uuid

# Of every object; nothing here depends on when it is.
CREATED = "2026-01-01T00:00:00Z"


class ApiError(Exception):
    """A refusal, as the API words it."""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def document(self):
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": self.reason,
            "message": self.message,
            "code": self.code,
        }


class Store:
    """All objects. What is put in and handed out are copies."""

    def __init__(self):
        self.changed = threading.Condition(threading.RLock())
        self.revision = 0
        self._objects = {}
        self._events = []

    def get(self, resource, namespace, name):
        with self.changed:
            return copy.deepcopy(self._objects.get((resource, namespace, name)))

    def list(self, resource, namespace=None, matches=lambda item: True):
        with self.changed:
            found = [
                item
                for (kind, place, _), item in self._objects.items()
                if kind == resource and namespace in (None, place) and matches(item)
            ]
            return copy.deepcopy(found)

    def everything(self):
        """Every object, as `(kind, namespace, name)`."""
        with self.changed:
            return sorted((resource.kind, namespace or "", name) for resource, namespace, name in self._objects)

    def put(self, resource, namespace, item):
        """Stores a new object, or a new state of one."""
        with self.changed:
            key = (resource, namespace, item["metadata"]["name"])
            old = self._objects.get(key)
            self.revision += 1
            item = copy.deepcopy(item)
            metadata = item["metadata"]
            metadata["resourceVersion"] = str(self.revision)
            metadata["uid"] = old["metadata"]["uid"] if old else str(uuid.uuid4())
            metadata["creationTimestamp"] = CREATED
            if namespace:
                metadata["namespace"] = namespace
            if "spec" in item:
                generation = old["metadata"]["generation"] if old else 0
                metadata["generation"] = generation + (not old or old["spec"] != item["spec"])
            self._objects[key] = item
            self._happened("MODIFIED" if old else "ADDED", resource, namespace, item)
            return copy.deepcopy(item)

    def delete(self, resource, namespace, name):
        """Removes an object and whatever it owns; its last state, or `None`."""
        with self.changed:
            gone = self._objects.pop((resource, namespace, name), None)
            if gone is None:
                return None
            self.revision += 1
            gone["metadata"]["resourceVersion"] = str(self.revision)
            self._happened("DELETED", resource, namespace, gone)
            for (kind, place, owned), item in list(self._objects.items()):
                owners = item["metadata"].get("ownerReferences", [])
                if any(owner["uid"] == gone["metadata"]["uid"] for owner in owners):
                    self.delete(kind, place, owned)
            return copy.deepcopy(gone)

    def events(self, resource, namespace, matches, since):
        """What has happened after the revision `since`, as `(revision, type, object)`."""
        with self.changed:
            return [
                (revision, what, item)
                for revision, what, kind, place, item in self._events
                if revision > since and kind == resource and namespace in (None, place) and matches(item)
            ]

    def _happened(self, what, resource, namespace, item):
        self._events.append((self.revision, what, resource, namespace, copy.deepcopy(item)))
        self.changed.notify_all()


def selector(labels, fields):
    """The test that `labelSelector` and `fieldSelector` ask for."""
    tests = [label_test(part) for part in re.split(r",(?![^(]*\))", labels) if part]
    tests += [field_test(part) for part in fields.split(",") if part]
    return lambda item: all(test(item) for test in tests)


def label_test(part):
    if match := re.fullmatch(r"(\S+)\s+(in|notin)\s+\((.*)\)", part):
        values = [value.strip() for value in match[3].split(",")]
        return lambda item: (label(item, match[1]) in values) == (match[2] == "in")
    if match := re.fullmatch(r"([^!=]+)(==|=|!=)(.*)", part):
        return lambda item: (label(item, match[1]) == match[3]) == (match[2] != "!=")
    return lambda item: (label(item, part.lstrip("!")) is None) == part.startswith("!")


def label(item, name):
    return item["metadata"].get("labels", {}).get(name)


def field_test(part):
    name, value = re.split("==?", part, maxsplit=1)
    if name not in ("metadata.name", "metadata.namespace"):
        raise ApiError(400, "BadRequest", f"field selector {name} is not known here")
    return lambda item: item["metadata"].get(name.split(".")[1]) == value
