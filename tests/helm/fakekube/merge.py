"""The three ways to patch: JSON merge, strategic merge (lists by key), and server-side apply."""

import copy

import kubeschema


def json_merge(live, patch):
    """RFC 7396: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = json_merge(merged.get(key), value)
    return merged


def apply(live, before, now):
    """Server-side apply of one manager: what it applied `before` and no longer does goes, the rest stays.

    Lists belong to their manager as a whole, which is less than the real thing: no two managers share one here.
    """
    if not (isinstance(live, dict) and isinstance(now, dict)):
        return copy.deepcopy(now)
    before = before if isinstance(before, dict) else {}
    merged = {key: value for key, value in live.items() if key in now or key not in before}
    for key, value in now.items():
        merged[key] = apply(live.get(key), before.get(key), value)
    return merged


def strategic(live, patch):
    """Strategic merge of a whole object; the schema of its kind says by which key a list merges."""
    schema = Schema.of(live["apiVersion"], live["kind"])
    return _object(live, patch, schema)


class Schema:
    """A place in a kind's schema."""

    def __init__(self, node, definitions):
        while "$ref" in node:
            node = {**definitions[node["$ref"].rsplit("/", 1)[1]], **{k: v for k, v in node.items() if k != "$ref"}}
        self.node, self.definitions = node, definitions

    @classmethod
    def of(cls, api_version, kind):
        definitions = kubeschema.definitions(kubeschema.LATEST)
        content = definitions["https://kubernetes.io/api/_definitions.json"].contents["$defs"]
        return cls(kubeschema.validator(api_version, kind, kubeschema.LATEST).schema, content)

    def child(self, key):
        below = self.node.get("properties", {}).get(key) or self.node.get("additionalProperties")
        return Schema(below if isinstance(below, dict) else {}, self.definitions)

    def element(self):
        return Schema(self.node.get("items", {}), self.definitions)

    @property
    def merges(self):
        return "merge" in self.node.get("x-kubernetes-patch-strategy", "")

    @property
    def key(self):
        return self.node.get("x-kubernetes-patch-merge-key")


def _object(live, patch, schema):
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(live) if isinstance(live, dict) else {}
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _object(merged.get(key), value, schema.child(key))
        elif isinstance(value, list):
            order = patch.get(f"$setElementOrder/{key}")
            merged[key] = _list(merged.get(key, []), value, schema.child(key), order)
        else:
            merged[key] = value
    return merged


def _list(live, patch, schema, order):
    if not schema.merges:
        return patch
    if schema.key is None:
        return live + [item for item in patch if item not in live]
    merged = {item[schema.key]: item for item in live}
    for item in patch:
        name = item[schema.key]
        if item.get("$patch") == "delete":
            merged.pop(name, None)
        else:
            merged[name] = _object(merged.get(name), item, schema.element())
    places = {item[schema.key]: place for place, item in enumerate(order or [])}
    return sorted(merged.values(), key=lambda item: places.get(item[schema.key], len(places)))
