"""The real program reads what the chart writes."""

import urllib.request

import pytest
from conftest import documents
from parts import config, inferneo, of_kind, only, pod_specs
from program import MODELS, Program

MODEL = MODELS / "tiny_text"


@pytest.fixture
def mounted(newest_helm, tmp_path):
    """Writes what a pod would find mounted, and answers the words of its command that find it here."""

    def write(values):
        objects = documents(newest_helm.template(values))
        policies = tmp_path / "policies"
        policies.mkdir()
        for each in of_kind(objects, "ConfigMap"):
            if each["metadata"]["name"].endswith("-policies"):
                [(policies / name).write_text(text) for name, text in each["data"].items()]
        (tmp_path / "inferneo.toml").write_text(at_home(config(objects), policies))
        words = inferneo(next(spec for spec in pod_specs(objects) if "volumes" in spec))["args"]
        here = {
            "/etc/inferneo/config/inferneo.toml": tmp_path / "inferneo.toml",
            "{{.Name}}=/mnt/models": f"m={MODEL}",
        }
        assert words[0] == "serve"
        return [here.get(word, word) for word in words[1:]]

    return write


def at_home(text, policies):
    """A config with the pod's paths replaced, and without the time that a Service needs to forget a pod."""
    for folder in ("/models/minilm", "/models/classifier"):
        text = text.replace(f'"{folder}"', f'"{MODEL}"')
    delays = [line for line in text.splitlines() if line.startswith("drain_delay = ")]
    return text.replace(delays[0], 'drain_delay = "0s"').replace("/etc/inferneo/policies", str(policies))


def test_the_program_takes_every_config(mounted, binary, ci_values):
    """A key that it does not know would end it. GPUs are named in the file alone: the flag beats it."""
    with Program(binary, *mounted(ci_values), "--device", "cpu") as program:
        assert "inferneo_build_info" in program.scrape()


def test_the_program_takes_a_folder_without_policies(binary, tmp_path):
    """A chart that includes the library need not give any."""
    with Program(binary, "--model", MODEL, "--policies", tmp_path) as program:
        assert program.embed("tiny_text", "Hello") == 200


def test_kserve_is_told_the_protocols_that_the_program_serves(newest_helm, binary):
    """Each of KServe's names for a protocol has a path of its own; one that is not served is 404 or 405."""
    calls = {
        "v1": "/v1/models/tiny_text:predict",
        "v2": "/v2/models/tiny_text/infer",
        "grpc-v2": "/inference.GRPCInferenceService/ServerLive",
    }
    objects = documents(newest_helm.template("kserve-values.yaml"))
    with Program(binary, "--model", MODEL) as program:
        with urllib.request.urlopen(f"{program.data}/v2", timeout=60) as answer:
            assert answer.status == 200
        served = [
            name for name, path in calls.items() if program.post(program.data + path, b"{}", {}) not in (404, 405)
        ]
    assert only(objects, "ServingRuntime")["spec"]["protocolVersions"] == served
