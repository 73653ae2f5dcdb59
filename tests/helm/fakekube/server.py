"""HTTP in front of the store, and the `Cluster` that a test starts and stops."""

import json
import select
import socket
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

from . import admission, controllers, merge, protobuf, resources
from .resources import NAMESPACES, RESOURCES
from .store import ApiError, Store, selector

VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.0", "platform": "linux/amd64"}
# An OpenAPI document in protobuf that says "2.0" and nothing else: what clients check is checked here instead.
OPENAPI = b"\x0a\x032.0", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "users": [{"name": "test", "user": {}}],
    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    "current-context": "test",
}


class Cluster:
    """A running API on loopback.

    `run_pod(cluster, pod)` answers `(succeeded, log)` for each Pod that is made, `is_ready(deployment)` whether
    a rollout ends well.
    """

    def __init__(self, run_pod=lambda cluster, pod: (True, ""), is_ready=lambda deployment: True):
        self.store, self.logs, self.applied = Store(), {}, {}
        self.run_pod, self.is_ready = run_pod, is_ready
        self.stopping = False
        for name in ("default", "kube-system"):
            self.store.put(NAMESPACES, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"cluster": self}))
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.folder = tempfile.TemporaryDirectory(prefix="fakekube-")
        self.kubeconfig = Path(self.folder.name) / "config"
        server = {"server": f"http://127.0.0.1:{self.server.server_port}"}
        self.kubeconfig.write_text(yaml.safe_dump({**KUBECONFIG, "clusters": [{"name": "test", "cluster": server}]}))
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def get(self, kind, name, namespace="n"):
        """One object, or `None`."""
        return self.store.get(resources.of_kind(kind), namespace, name)

    def objects(self, namespace="n"):
        """What is in a namespace, as `(kind, name)`, but for what Helm keeps its releases in."""
        found = [(kind, name) for kind, place, name in self.store.everything() if place == namespace]
        return [(kind, name) for kind, name in found if not name.startswith("sh.helm.release.")]

    def write(self, resource, namespace, item, old, dry_run=False):
        """Admits and stores `item`."""
        admission.admit(resource, item, old)
        if dry_run:
            return item
        stored = self.store.put(resource, namespace, item)
        controllers.react(self, resource, stored)
        return self.store.get(resource, namespace, stored["metadata"]["name"])


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cluster = None

    def log_message(self, *_):
        """Says nothing."""

    def handle_request(self):
        url = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        self.content = self.rfile.read(length)
        try:
            self.route(url.path.strip("/").split("/"))
        except ApiError as refusal:
            self.answer(refusal.document(), refusal.code)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def route(self, path):
        documents = {
            "version": VERSION,
            "api": {"kind": "APIVersions", "versions": ["v1"]},
            "apis": resources.groups(),
        }
        if len(path) == 1 and path[0] in documents:
            return self.answer(documents[path[0]])
        if path == ["openapi", "v2"]:
            return self.send(*OPENAPI)
        group_version, rest = ("v1", path[2:]) if path[0] == "api" else ("/".join(path[1:3]), path[3:])
        kinds = resources.kinds_of(group_version)
        if path[0] not in ("api", "apis") or kinds is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        if not rest:
            return self.answer(kinds)
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource = RESOURCES.get((group_version, rest[0]))
        if resource is None:
            raise ApiError(404, "NotFound", f"the server has no resource {group_version} {rest[0]}")
        name, below = (rest[1:] + [None, None])[:2]
        return self.serve(resource, namespace, name, below)

    def serve(self, resource, namespace, name, below):
        if below == "log":
            return self.send(self.cluster.logs.get((namespace, name), "").encode(), "text/plain")
        if self.command == "GET":
            return self.read(resource, namespace, name)
        with self.cluster.store.changed:
            old = self.cluster.store.get(resource, namespace, name) if name else None
            if resource.namespaced and self.cluster.store.get(NAMESPACES, None, namespace) is None:
                raise ApiError(404, "NotFound", f'namespaces "{namespace}" not found')
            may_be_new = self.command == "POST" or "apply-patch" in self.headers.get("Content-Type", "")
            if old is None and not may_be_new:
                raise ApiError(404, "NotFound", f'{resource.plural} "{name}" not found')
            if self.command == "DELETE":
                self.cluster.applied.pop((resource, namespace, name), None)
                return self.answer(self.cluster.store.delete(resource, namespace, name))
            new = self.wanted(resource, namespace, name, old)
            stored = self.cluster.write(resource, namespace, new, old, "dryRun" in self.query)
        return self.answer(stored, 200 if old else 201)

    def wanted(self, resource, namespace, name, old):
        """The state that the request asks for."""
        content = self.content
        body = protobuf.decode(content) if content.startswith(protobuf.MAGIC) else yaml.safe_load(content)
        if self.command == "POST":
            if self.cluster.store.get(resource, namespace, body["metadata"]["name"]):
                raise ApiError(409, "AlreadyExists", f'{resource.plural} "{body["metadata"]["name"]}" already exists')
            return body
        if self.command == "PUT":
            if body["metadata"].get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
                raise ApiError(409, "Conflict", "the object has been modified")
            return body
        kind_of_patch = self.headers["Content-Type"].split(";")[0]
        if kind_of_patch == "application/apply-patch+yaml":
            managers = self.cluster.applied.setdefault((resource, namespace, name), {})
            before = managers.get(self.query["fieldManager"])
            if "dryRun" not in self.query:
                managers[self.query["fieldManager"]] = body
            return merge.apply(old or {}, before, body)
        patches = {
            "application/merge-patch+json": merge.json_merge,
            "application/strategic-merge-patch+json": merge.strategic,
        }
        if kind_of_patch not in patches:
            raise ApiError(415, "UnsupportedMediaType", f"{kind_of_patch} is not known here")
        return patches[kind_of_patch](old, body)

    def read(self, resource, namespace, name):
        if name:
            found = self.cluster.store.get(resource, namespace, name)
            if found is None:
                raise ApiError(404, "NotFound", f'{resource.plural} "{name}" not found')
            return self.answer(found)
        matches = selector(self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))
        if self.query.get("watch") in ("1", "true"):
            return self.watch(resource, namespace, matches)
        with self.cluster.store.changed:
            items, revision = self.cluster.store.list(resource, namespace, matches), self.cluster.store.revision
        listed = {"kind": resource.kind + "List", "apiVersion": resource.group_version, "items": items}
        return self.answer({**listed, "metadata": {"resourceVersion": str(revision)}})

    def watch(self, resource, namespace, matches):
        """Tells of changes until the client goes away, or as long as it asked for."""
        store = self.cluster.store
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        since = int(self.query.get("resourceVersion") or 0)
        with store.changed:
            present = store.list(resource, namespace, matches) if since == 0 or "sendInitialEvents" in self.query else []
            since = max(since, store.revision) if since == 0 or present else since
        for item in present:
            self.tell("ADDED", item)
        if "sendInitialEvents" in self.query:
            annotations = {"k8s.io/initial-events-end": "true"}
            mark = {"resourceVersion": str(since), "annotations": annotations}
            self.tell("BOOKMARK", {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": mark})
        end = time.monotonic() + float(self.query.get("timeoutSeconds", 600))
        while time.monotonic() < end and not self.cluster.stopping and not self.client_is_gone():
            with store.changed:
                news = store.events(resource, namespace, matches, since)
                if not news:
                    store.changed.wait(0.2)
            for revision, what, item in news:
                self.tell(what, item)
                since = revision
        self.wfile.write(b"0\r\n\r\n")

    def client_is_gone(self):
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def tell(self, what, item):
        line = json.dumps({"type": what, "object": item}).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def answer(self, document, code=200):
        self.send(json.dumps(document).encode(), "application/json", code)

    def send(self, body, content_type, code=200):
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
