"""What the tests of the chart share: both lines of Helm, rendered results, the tools and the program.

`make helm-test` fetches the tools. Without it a test whose tool is missing is skipped, or fails where
REQUIRE_PLATFORM=1. A run in which nothing passed is a failure.
"""

import copy
import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

# Modules beside this file are imported by name.
sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).resolve().parents[2]
HELM = ROOT / "helm"
TOOLS = ROOT / ".cache/platform"
CI_VALUES = sorted(path.name for path in (HELM / "inferneo/ci").glob("*.yaml"))
HELM_VERSIONS = ["4.3.1", "3.17.2"]


def pytest_generate_tests(metafunc):
    """A test that asks for `ci_values` runs once for each file in `ci/`."""
    if "ci_values" in metafunc.fixturenames:
        metafunc.parametrize("ci_values", CI_VALUES)


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and exitstatus == 0 and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def need(path, name):
    """`path` as text; where there is none, the test ends here."""
    if path and Path(path).exists():
        return str(path)
    message = f"{name} is missing: `make helm-test` says how to get it"
    pytest.fail(message) if os.environ.get("REQUIRE_PLATFORM") == "1" else pytest.skip(message)


@dataclass(frozen=True)
class Helm:
    """One Helm, with folders of its own and no cluster unless one is given."""

    binary: str
    version: str
    chart: Path
    home: Path

    @property
    def major(self):
        return int(self.version.split(".")[0])

    def run(self, *words, kubeconfig="/dev/null", check=True):
        """Runs `helm WORDS…`; what it printed. Fails the test where it fails, unless `check` is off."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
        homes = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        command = [self.binary, *map(str, words)]
        environment = {**keep, **homes, "KUBECONFIG": str(kubeconfig)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)
        return done

    def values(self, values_file):
        """The words for a values file: a path, or a name in `ci/`; `None` for the chart's own values."""
        return [] if values_file is None else ["--values", HELM / "inferneo/ci" / values_file]

    def template(self, values_file, *sets, release="r", namespace="n", kube="1.37.0"):
        """What `helm template` prints."""
        return _template(self, str(values_file) if values_file else None, sets, release, namespace, kube)


@functools.lru_cache(maxsize=None)
def _template(helm, values_file, sets, release, namespace, kube):
    words = [word for text in sets for word in ("--set", text)]
    place = ["--namespace", namespace, "--kube-version", kube]
    return helm.run("template", release, helm.chart, *place, *helm.values(values_file), *words).stdout


@pytest.fixture(scope="session")
def chart(tmp_path_factory):
    """A copy of the chart with its library in place."""
    folder = tmp_path_factory.mktemp("helm")
    shutil.copytree(HELM, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    helm = Helm(need(TOOLS / "helm-4.3.1/helm", "helm"), "4.3.1", folder / "inferneo", folder / "home")
    helm.run("dependency", "update", "--skip-refresh", helm.chart)
    return helm.chart


def make_helm(version, chart, tmp_path_factory):
    return Helm(need(TOOLS / f"helm-{version}/helm", "helm"), version, chart, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session", params=HELM_VERSIONS)
def helm(request, chart, tmp_path_factory):
    """Each Helm in turn."""
    return make_helm(request.param, chart, tmp_path_factory)


@pytest.fixture(scope="session")
def newest_helm(chart, tmp_path_factory):
    """The newest Helm, for what does not depend on Helm."""
    return make_helm(HELM_VERSIONS[0], chart, tmp_path_factory)


def documents(text):
    """The objects in rendered text."""
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.fixture(scope="session")
def render(helm):
    """`render(values_file, *sets, release="r", namespace="n", kube="1.37.0")`: the rendered objects."""
    parsed = functools.lru_cache(maxsize=None)(documents)
    return lambda values_file, *sets, **place: copy.deepcopy(parsed(helm.template(values_file, *sets, **place)))


@pytest.fixture(scope="session")
def promtool():
    """The path of promtool, from Debian's package `prometheus`."""
    return need(shutil.which("promtool"), "promtool")


@pytest.fixture(scope="session")
def trivy():
    """The path of trivy."""
    return need(TOOLS / "trivy", "trivy")


@pytest.fixture(scope="session")
def binary():
    """The path of the program: INFERNEO_BINARY, or the one that cargo built for tests."""
    return need(os.environ.get("INFERNEO_BINARY") or ROOT / "target/debug/inferneo", "the program")
