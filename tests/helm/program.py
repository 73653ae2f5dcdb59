"""The real program, on loopback, with a folder of its own."""

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from conftest import ROOT

MODELS = ROOT / ".cache/models/test"
LIBRARY = ROOT / ".cache/onnxruntime/libonnxruntime.so"
# A cold debug build on a busy machine; nothing waits that long where all is well.
PATIENCE = 60


def environment():
    """This process's environment without settings of the program, and the library to use."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("INFERNEO_")}
    return {**clean, "ORT_DISABLE_TELEMETRY": "1", "INFERNEO_ONNXRUNTIME_LIBRARY": str(LIBRARY)}


def until(condition, what):
    """Waits until `condition()` is true, and answers what it said."""
    end = time.monotonic() + PATIENCE
    while not (said := condition()):
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)
    return said


class Program:
    """`inferneo serve ARGS…` from readiness to a clean end."""

    def __init__(self, binary, *args, **env):
        self.command = [binary, "serve", *map(str, args), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        self.env = {**environment(), **env}

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="inferneo-")
        ready = Path(self.folder.name) / "ready.json"
        self.log = Path(self.folder.name) / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*self.command, "--ready-file", ready], env=self.env, stderr=log)
        until(lambda: ready.exists() or self.process.poll() is not None, "the program is ready")
        assert self.process.poll() is None, f"{self.command} ended:\n{self.log.read_text()}"
        addresses = json.loads(ready.read_text())
        self.data, self.admin = (f"http://{addresses[key]}" for key in ("listen", "admin_listen"))
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.folder.cleanup()

    def embed(self, model, *texts, tenant=None):
        """The status of a call for embeddings."""
        body = json.dumps({"model": model, "input": texts}).encode()
        return self.post(f"{self.data}/v1/embeddings", body, {"x-inferneo-tenant": tenant} if tenant else {})

    @staticmethod
    def post(url, body, headers=()):
        """The status of a POST of JSON."""
        request = urllib.request.Request(url, body, {"content-type": "application/json", **dict(headers)})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as refusal:
            return refusal.code

    def scrape(self):
        """The text of `/metrics`."""
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=PATIENCE) as answer:
            return answer.read().decode()
