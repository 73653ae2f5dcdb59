"""A release from install to uninstall, with both lines of Helm, on a stand-in of Kubernetes' API."""

import json
import subprocess

import pods
import pytest
from conftest import TOOLS, need
from fakekube import Cluster

TINY = ["models[0].name=tiny", "models[0].path=/models/tiny_text", "drain.delaySeconds=0"]
WAIT = ["--wait", "--timeout", "20s"]


@pytest.fixture
def cluster():
    """A cluster of this test's own."""
    with Cluster() as running:
        yield running


class Release:
    """The release `r` in the namespace `n`."""

    def __init__(self, helm, cluster):
        self.helm, self.cluster = helm, cluster

    def run(self, verb, *words, check=True):
        place = ["--namespace", "n"]
        return self.helm.run(verb, "r", *words, *place, kubeconfig=self.cluster.kubeconfig, check=check)

    def install(self, *sets, values=None, check=True):
        words = [self.helm.chart, *WAIT, "--create-namespace", *self.helm.values(values), *given(sets)]
        return self.run("install", *words, check=check)

    def upgrade(self, *sets, values=None, flags=WAIT, check=True):
        return self.run("upgrade", self.helm.chart, *flags, *self.helm.values(values), *given(sets), check=check)

    def history(self):
        return [(entry["revision"], entry["status"]) for entry in json.loads(self.run("history", "-o", "json").stdout)]

    def deployment(self):
        return self.cluster.get("Deployment", "r-inferneo")


def given(sets):
    return [word for text in sets for word in ("--set", text)]


@pytest.fixture
def release(helm, cluster):
    return Release(helm, cluster)


def test_install_upgrade_rollback_uninstall(release, cluster):
    release.install("logLevel=info")
    first = release.deployment()["spec"]
    release.upgrade("logLevel=debug")
    assert release.deployment()["spec"] != first
    release.run("rollback", "1", *WAIT)
    assert release.deployment()["spec"] == first
    assert release.history() == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    release.run("uninstall", "--wait")
    assert cluster.objects() == []
    assert not [name for _, place, name in cluster.store.everything() if place == "n"]


def test_a_policy_edit_leaves_the_pods_alone(release, cluster):
    release.install()
    before = release.deployment()
    release.upgrade(r"policies.mine\.toml=strategy = 'coalescing'")
    assert list(cluster.get("ConfigMap", "r-inferneo-policies")["data"]) == ["mine.toml"]
    after = release.deployment()
    assert json.dumps(after["spec"]["template"]) == json.dumps(before["spec"]["template"])
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_config_edit_rolls_the_pods(release):
    release.install()
    before = release.deployment()
    release.upgrade("config.max_body_bytes=1MiB")
    after = release.deployment()
    assert after["spec"]["template"] != before["spec"]["template"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_helm_test_really_infers(release, cluster, binary, tmp_path):
    release.install(*TINY)
    with pods.serve(cluster, "r-inferneo", binary, tmp_path) as server:
        cluster.run_pod = pods.runner(binary, server)
        said = release.run("test", "--logs").stdout
        assert "Phase:          Succeeded" in said and "tiny" in said
        assert 'inferneo_requests_total{model="tiny",outcome="ok"' in server.scrape()


def test_helm_test_fails_where_nothing_answers(release, cluster, binary, tmp_path):
    release.install(*TINY)
    with pods.serve(cluster, "r-inferneo", binary, tmp_path) as server:
        pass
    cluster.run_pod = pods.runner(binary, server)
    said = release.run("test", "--logs", check=False)
    assert said.returncode != 0 and "Phase:          Failed" in said.stdout


def test_a_bad_manifest_is_refused(release, cluster):
    bad = ["extraObjects[0].apiVersion=v1", "extraObjects[0].kind=Pod", "extraObjects[0].metadata.name=bad"]
    bad += ["extraObjects[0].spec.containers[0].name=c", "extraObjects[0].spec.containers[0].colour=red"]
    refused = release.install(*bad, check=False)
    assert refused.returncode != 0 and "colour" in refused.stderr
    assert cluster.get("Pod", "bad") is None


def test_a_rollout_that_never_gets_ready_is_undone(release, cluster):
    release.install("image.tag=good")
    first = release.deployment()["spec"]
    cluster.is_ready = lambda deployment: "broken" not in json.dumps(deployment["spec"])
    undo = "--rollback-on-failure" if release.helm.major >= 4 else "--atomic"
    refused = release.upgrade("image.tag=broken", flags=["--wait", "--timeout", "2s", undo], check=False)
    assert refused.returncode != 0
    assert release.deployment()["spec"] == first


def test_an_upgrade_leaves_the_count_of_the_autoscaler(release, cluster):
    release.install("autoscaling.enabled=true")
    kubectl(cluster, "patch", "deployment", "r-inferneo", "--patch", '{"spec": {"replicas": 7}}')
    release.upgrade("autoscaling.enabled=true", "logLevel=debug")
    assert release.deployment()["spec"]["replicas"] == 7


def test_the_newest_helm_takes_over_from_the_one_before(newest_helm, helm, cluster):
    Release(helm, cluster).install()
    newest = Release(newest_helm, cluster)
    newest.upgrade("logLevel=debug")
    assert newest.history() == [(1, "superseded"), (2, "deployed")]


def test_every_values_file_installs_upgrades_and_leaves_only_its_claim(release, cluster, ci_values):
    release.install(values=ci_values)
    release.upgrade(values=ci_values)
    release.run("uninstall", "--wait")
    assert {kind for kind, _ in cluster.objects()} <= {"PersistentVolumeClaim"}


def test_kubectl_reads_what_helm_wrote(newest_helm, cluster):
    Release(newest_helm, cluster).install()
    assert kubectl(cluster, "get", "deployments", "-o", "name") == "deployment.apps/r-inferneo\n"


def kubectl(cluster, *words):
    """What kubectl says in the namespace of the release."""
    command = [need(TOOLS / "kubectl", "kubectl"), "--kubeconfig", str(cluster.kubeconfig), "-n", "n", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
