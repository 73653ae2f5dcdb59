"""What the chart renders meets the restricted Pod Security Standard, by our own checks and by a scanner's."""

import json
import subprocess

import pytest
from conftest import CI_VALUES
from parts import containers, of_kind, pod_specs

# What the standard lets a pod mount. A folder of the node or an NFS share is not among it: who names one for the
# models, as one of the values files does, leaves the standard in this.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"}
VOLUMES |= {"secret"}
OF_THE_USER = {"nfs"}
# Nobody can reach these: a run that needs the network would fail.
NOWHERE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
PRIVILEGED = """
apiVersion: v1
kind: Pod
metadata: {name: bad}
spec:
  containers:
    - {name: c, image: i, securityContext: {privileged: true}}
"""


@pytest.fixture(scope="module")
def scan(trivy, tmp_path_factory):
    """`scan({name: text})`: what trivy finds, as `(file, id)`, of high and critical severity."""

    def run(files):
        folder = tmp_path_factory.mktemp("manifests")
        for name, text in files.items():
            (folder / name).write_text(text)
        flags = ["--skip-check-update", "--severity", "HIGH,CRITICAL", "--format", "json", "--quiet"]
        command = [trivy, "config", *flags, "--cache-dir", tmp_path_factory.mktemp("trivy"), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=NOWHERE)
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout).get("Results", [])
        assert {result["Target"] for result in results} == set(files)
        return {(each["Target"], found["ID"]) for each in results for found in each.get("Misconfigurations", [])}

    return run


def test_a_scanner_finds_nothing_grave(newest_helm, scan):
    assert scan({name: newest_helm.template(name) for name in CI_VALUES}) == set()


def test_the_scanner_would_find_it(scan):
    assert ("bad.yaml", "KSV017") in scan({"bad.yaml": PRIVILEGED})


def test_pods_keep_to_the_restricted_standard(render, ci_values):
    for spec in pod_specs(render(ci_values)):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & {key for key, value in spec.items() if value}
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= VOLUMES | OF_THE_USER, volume
        for container in containers(spec):
            keeps_to_it(container, spec.get("securityContext", {}))


def keeps_to_it(container, of_pod):
    """Fails unless the container, with what its pod says, may do no more than the standard lets it."""
    own = container["securityContext"]
    assert own["allowPrivilegeEscalation"] is False and not own.get("privileged")
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is True
    assert own.get("runAsUser", of_pod.get("runAsUser")) != 0
    assert own.get("seccompProfile", of_pod.get("seccompProfile")) == {"type": "RuntimeDefault"}
    assert own["readOnlyRootFilesystem"] is True
    assert all("hostPort" not in port for port in container.get("ports", []))


def test_nobody_gets_rights_in_the_cluster(render, ci_values):
    objects = render(ci_values)
    assert [kind for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding") if of_kind(objects, kind)] == []
    accounts = of_kind(objects, "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts)
