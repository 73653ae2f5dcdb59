"""What a user is told after an install."""

import json

import crdschema
import pytest
import yaml
from parts import only

SIDECAR = ("mode=sidecar", "app.image=shop:1")
# `helm template` leaves NOTES.txt out, so an extra object carries the same text.
CARRIER = """
extraObjects:
  - |
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: carrier}
    data:
      notes: {{ include "inferneo.notes" (dict "root" $ "values" .Values "mode" .Values.mode) | toJson }}
"""


@pytest.fixture
def notes(render, tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text(CARRIER)
    return lambda *sets, **place: only(render(values, *sets, **place), "ConfigMap", "carrier")["data"]["notes"]


def test_every_mode_says_how_to_go_on(notes):
    for mode in (["mode=standalone"], SIDECAR, ["mode=kserve"]):
        said = notes(*mode)
        assert "kubectl -n n edit configmap r-inferneo-policies" in said
        assert "60 to 90 seconds" in said and "annotate pods --overwrite" in said
        assert "\n\n\n" not in said and "<no value>" not in said


def test_a_first_request_names_the_first_model(notes):
    said = notes()
    assert "port-forward service/r-inferneo 8080:80" in said
    sent = next(line for line in said.splitlines() if "/v1/embeddings" in line).split("-d '")[1].rstrip("'")
    assert json.loads(sent) == {"model": "minilm", "input": "Hello"}
    assert "/v2/models/acme" in notes("models[0].path=/models/acme")
    assert "helm -n n test r" in said and "helm -n n test r" not in notes("tests.enabled=false")


def test_a_sidecar_is_asked_inside_its_pod(notes):
    said = notes(*SIDECAR)
    assert "exec deployment/r-inferneo -c inferneo -- inferneo doctor --url http://127.0.0.1:8080" in said
    assert "each replica batches only the traffic of its own pod" in said
    assert "1.29" not in said and "1.29" in notes(*SIDECAR, kube="1.28.0")
    assert "each replica claims 1 nvidia.com/gpu of its own" in notes(*SIDECAR, "gpu.enabled=true")


def test_kserve_is_told_how_to_name_a_model(notes):
    said = notes("mode=kserve")
    service = yaml.safe_load(said[said.index("apiVersion:") : said.index("and run")])
    assert service["spec"]["predictor"]["model"]["runtime"] == "r-inferneo"
    assert crdschema.faults(service) == []
    # KServe's own 30 s would end a drain of 35 early.
    assert service["spec"]["predictor"]["terminationGracePeriodSeconds"] == 60
    assert "storageUri: pvc://r-inferneo-models/minilm" in notes("mode=kserve", "modelVolume.pvc.create=true")


@pytest.mark.parametrize(
    "sets, warning",
    [
        ([], "have to be in the image"),
        (["modelVolume.pvc.create=true"], "is new and empty"),
        (["modelVolume.pvc.create=true"], "only pods on one node can mount it"),
        (["autoscaling.enabled=true"], "prometheus-adapter"),
        (["autoscaling.enabled=true", "replicas=3"], "`replicas` (3) is not used"),
        (["autoscaling.enabled=true"], "nothing in this release has Prometheus read the metric"),
        (["gpu.enabled=true"], "with one replica nothing is served in between"),
        (["rollout.maxSurge=0", "rollout.maxUnavailable=1"], "takes a pod away before its successor starts"),
        (["models[0].path=/models/a,models[0].device=cuda"], "models[0].device is cuda, and without gpu.enabled"),
        (["networkPolicy.enabled=true", "networkPolicy.adminFrom=null"], "nothing can read the metrics"),
        (["networkPolicy.enabled=true", "service.type=NodePort"], "only pods of the namespace may send requests"),
    ],
)
def test_what_surprises_is_said_before(notes, sets, warning):
    assert warning in notes(*sets)
    assert warning not in notes("modelVolume.existingClaim=models")


def test_notes_are_what_helm_shows(newest_helm):
    shown = newest_helm.run("install", "r", newest_helm.chart, "--namespace", "n", "--dry-run=client").stdout
    assert shown.split("NOTES:\n")[1].startswith("inferneo 0.1.0 serves at http://r-inferneo.n:80")
