"""Both lines of Helm accept the chart, and every Kubernetes from 1.25 on would accept what it renders."""

import crdschema
import kubeschema
import pytest
from conftest import CI_VALUES, documents


@pytest.fixture(scope="module")
def faults_of():
    """What any schema says against rendered text; equal objects are looked at once."""
    known = {}

    def look(text, version):
        found = []
        for document in documents(text):
            key = (version, str(document))
            if key not in known:
                known[key] = object_faults(document, version)
            found += known[key]
        return found

    return look


def object_faults(document, version):
    check = crdschema.faults(document) if crdschema.knows(document) else kubeschema.faults(document, version)
    return [f"{document['kind']} {document['metadata']['name']}: {fault}" for fault in check]


def test_there_are_values_files_for_every_mode():
    assert {"standalone", "sidecar", "kserve"} <= {name.split("-")[0] for name in CI_VALUES}


def test_lint_is_clean(helm, ci_values):
    said = helm.run("lint", "--strict", helm.chart, *helm.values(ci_values)).stdout
    assert "[WARNING]" not in said and "[ERROR]" not in said


def test_both_helms_render_the_same(newest_helm, helm, ci_values):
    ours, newest = (documents(each.template(ci_values)) for each in (helm, newest_helm))
    assert ours == newest


@pytest.mark.parametrize("version", kubeschema.VERSIONS)
def test_every_kubernetes_accepts_it(newest_helm, faults_of, ci_values, version):
    assert faults_of(newest_helm.template(ci_values, kube=version), version) == []


def test_the_older_helm_renders_it_for_the_oldest_kubernetes(helm, faults_of, ci_values):
    oldest = kubeschema.VERSIONS[0]
    assert faults_of(helm.template(ci_values, kube=oldest), oldest) == []


def test_names_that_yaml_takes_for_something_else_stay_text(newest_helm, faults_of, ci_values):
    text = newest_helm.template(ci_values, release="on", namespace="1234")
    assert faults_of(text, kubeschema.LATEST) == []


def test_schemas_know_all_versions():
    assert kubeschema.VERSIONS == [f"1.{minor}.0" for minor in range(25, 38)]


def test_an_unknown_field_is_a_fault():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [], "colour": "red"}}
    assert any("colour" in fault for fault in kubeschema.faults(pod))


def test_an_unknown_field_of_a_custom_kind_is_a_fault():
    spec = {"selector": {}, "podMetricsEndpoints": [{"portNumber": 9090, "colour": "red"}]}
    monitor = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "m"}, "spec": spec}
    assert crdschema.faults(monitor) == ["spec/podMetricsEndpoints/0/colour: unknown field"]


def test_a_serving_runtime_has_no_init_containers():
    runtime = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "ServingRuntime", "metadata": {"name": "m"}}
    runtime["spec"] = {"containers": [{"name": "kserve-container", "image": "i"}], "initContainers": []}
    assert len(crdschema.faults(runtime)) == 1
