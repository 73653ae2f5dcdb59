"""`inferneo inject` adds what the library chart adds."""

import copy
import subprocess

import pytest
import yaml
from parts import config, of_kind, only, template
from test_modes import consumer, rendered  # noqa: F401  (a fixture)

# What the chart calls its pods' ConfigMaps, and the values file's models.
SAME = ["--name", "r-inferneo", "--models-claim", "models"]
MARK = "inferneo.io/injected"


def inject(binary, manifest, *flags):
    """The objects that `inferneo inject` prints for the YAML of `manifest`."""
    text = yaml.safe_dump_all(manifest)
    done = subprocess.run([binary, "inject", "-f", "-", *flags], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def bare(objects):
    """Their Deployment as it was before the library's sidecar came."""
    deployment = copy.deepcopy(only(objects, "Deployment"))
    pod = deployment["spec"]["template"]
    del pod["metadata"]["annotations"]["inferneo.io/config-checksum"]
    spec = pod["spec"]
    for key in ("initContainers", "containers", "volumes"):
        spec[key] = [each for each in spec[key] if not each["name"].startswith("inferneo")]
    for key in ("terminationGracePeriodSeconds", "tolerations", "runtimeClassName"):
        spec.pop(key, None)
    return deployment


@pytest.mark.parametrize(
    "kube, sets, flags",
    [
        ("1.37.0", [], []),
        ("1.28.0", [], ["--plain"]),
        (
            "1.37.0",
            ["upstream=http://127.0.0.1:3000"],
            ["--upstream", "http://127.0.0.1:3000", "--model", "minilm=/models/minilm"],
        ),
        ("1.37.0", ["ports.data=8181", "ports.admin=9191"], ["--data-port", "8181", "--admin-port", "9191"]),
        ("1.37.0", ["image.repository=reg/inferneo", "image.tag=v7"], ["--image", "reg/inferneo:v7"]),
        (
            "1.37.0",
            ["gpu.enabled=true", "gpu.count=2", "gpu.runtimeClassName=nvidia"],
            ["--gpu", "nvidia.com/gpu=2", "--runtime-class", "nvidia"],
        ),
        (
            "1.37.0",
            ["models[0].name=a", "models[0].path=/models/a", "models[1].name=b", "models[1].path=/models/b"],
            ["--model", "a=/models/a", "--model", "b=/models/b"],
        ),
        (
            "1.37.0",
            ["modelVolume.existingClaim=", "modelVolume.image=reg/models:1"],
            ["--models-image", "reg/models:1"],
        ),
        ("1.37.0", ["modelVolume.existingClaim=", "modelVolume.hostPath=/srv"], ["--models-host-path", "/srv"]),
    ],
)
def test_the_sidecar_is_the_library_s(helm, consumer, binary, kube, sets, flags):
    theirs = rendered(helm, consumer, *[f"inferneo.{value}" for value in sets], kube=kube)
    source = [] if any(flag.startswith("--models-") for flag in flags) else SAME[2:]
    ours = inject(binary, [bare(theirs)], *SAME[:2], *source, *flags)
    assert template(ours)["metadata"]["annotations"].pop(MARK) == "0.1.0"
    assert template(ours)["metadata"]["annotations"]["checksum/config"] == "theirs"
    assert template(ours) == template(theirs)
    assert config(ours) == config(theirs)
    names = {each["metadata"]["name"] for each in of_kind(theirs, "ConfigMap")}
    assert {each["metadata"]["name"] for each in of_kind(ours, "ConfigMap")} == names


def test_a_sidecar_of_the_library_is_not_replaced(newest_helm, consumer, binary):
    text = yaml.safe_dump_all(rendered(newest_helm, consumer))
    done = subprocess.run([binary, "inject", "-f", "-"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "already has a container named inferneo" in done.stderr
