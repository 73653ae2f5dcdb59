"""What values do, and what is said of those that make no sense: every message names the key."""

import tomllib

import pytest
from parts import config, inferneo, only, refusal, template

SIDECAR = ("mode=sidecar", "app.image=shop:1")
DIGEST = "sha256:" + "0" * 64

# Values that each make sense and do not go together.
CONTRADICTIONS = [
    (["mode=sidecar"], "app.image: mode sidecar runs beside an app"),
    (["app.image=shop:1"], "app.image is for mode: sidecar; the mode is standalone"),
    ([*SIDECAR, "autoscaling.enabled=true"], "autoscaling.enabled: in sidecar mode"),
    ([*SIDECAR, "app.name=inferneo"], "app.name: inferneo is the name of the sidecar"),
    ([*SIDECAR, "app.port=9090"], "the container app uses port 9090, and so does the sidecar"),
    (["mode=kserve", "autoscaling.enabled=true"], "autoscaling.enabled: in mode kserve"),
    (["mode=kserve", "podDisruptionBudget.enabled=true"], "podDisruptionBudget.enabled: in mode kserve"),
    (["mode=kserve", "networkPolicy.enabled=true"], "networkPolicy.enabled: in mode kserve"),
    (["mode=kserve", "metrics.podMonitor.enabled=true"], "metrics.podMonitor.enabled: in mode kserve"),
    (["mode=kserve", "gpu.enabled=true", "gpu.runtimeClassName=nvidia"], "gpu.runtimeClassName: in mode kserve"),
    (["mode=kserve", "modelVolume.existingClaim=m"], "modelVolume.existingClaim: in mode kserve"),
    (
        ["terminationGracePeriodSeconds=39"],
        "drain.delaySeconds (5) + drain.timeoutSeconds (30) + 5 for a last batch = 40",
    ),
    (["drain.timeoutSeconds=51"], "terminationGracePeriodSeconds (60) is too short"),
    (["ports.data=9090"], "ports.data and ports.admin are both 9090"),
    (["models=[]"], "models: there is nothing to serve"),
    (['models=[{"path": "/models/a"}, {"name": "a", "path": "/b"}]'], "models[1]: another model is named a"),
    (
        ["modelVolume.existingClaim=m", "modelVolume.pvc.create=true"],
        "modelVolume.existingClaim and modelVolume.pvc.create",
    ),
    (["autoscaling.enabled=true", "autoscaling.minReplicas=11"], "autoscaling.minReplicas (11) is above"),
    (
        [
            "podDisruptionBudget.enabled=true",
            "podDisruptionBudget.minAvailable=0",
            "podDisruptionBudget.maxUnavailable=1",
        ],
        "podDisruptionBudget: set minAvailable or maxUnavailable",
    ),
    (["metrics.podMonitor.enabled=true", "metrics.serviceMonitor.enabled=true"], "would read every pod twice"),
    (["rollout.maxSurge=0"], "rollout.maxSurge and rollout.maxUnavailable are both 0"),
    (["gpu.enabled=true", "rollout.maxUnavailable=0%"], "rollout.maxSurge and rollout.maxUnavailable are both 0"),
    (["mode=kserve", "rollout.maxUnavailable=0"], "rollout.maxUnavailable: in mode kserve"),
    (["gpu.enabled=true", "gpu.device=cuda:1"], "gpu.device names cuda:1, and gpu.count gives the pod 1, from cuda:0 on"),
    (["gpu.enabled=true", 'models=[{"path": "/m", "device": "cuda:0,cuda:2"}]'], "models[0].device names cuda:2"),
    (["fullnameOverride=1st"], "a Service cannot be called 1st"),
    (["config.listen=x"], "config.listen: the chart sets this key of inferneo.toml itself; set the value `ports.data`"),
    (["config.drain_timeout=1s"], "set the value `drain.timeoutSeconds`"),
]

# Values that a key never takes: where the schema points to.
FAULTS = [
    ("replica=2", "replica"),
    ("drain.delay=2", "drain"),
    ("mode=daemonset", "mode"),
    ("replicas=two", "replicas"),
    ("image.digest=0123", "digest"),
    ("gpu.device=gpu", "device"),
    ("gpu.resourceName=gpu", "resourceName"),
    ("ports.data=80", "data"),
    ("upstream=https://x", "upstream"),
    (r"policies.acme\.yaml=x", "policies"),
    ("models[0].paths=/m", "models"),
    ("models[0].name=m", "models"),
    ("models[0].path=/m,models[0].name=a/b", "name"),
    ("models[0].path=/m,models[0].name=..", "name"),
    ("models[0].path=/m,models[0].cuda.memory=4GiB", "cuda"),
    ("models[0].path=/m,models[0].cuda.graph=true", "cuda"),
    ("rollout.maxSurge=some", "maxSurge"),
    ("rollout.maxUnavailable=-1", "maxUnavailable"),
    ("logFormat=xml", "logFormat"),
    ("metrics.podMonitor.on=true", "podMonitor"),
    ("modelVolume.pvc.accessModes[0]=Write", "accessModes"),
]


@pytest.mark.parametrize("sets, said", CONTRADICTIONS, ids=lambda value: value if isinstance(value, str) else None)
def test_a_contradiction_is_explained(helm, sets, said):
    assert said in refusal(helm, *sets)


@pytest.mark.parametrize("value, named", FAULTS, ids=lambda value: value)
def test_the_schema_names_the_key(helm, value, named):
    said = refusal(helm, value)
    assert "meet the specifications of the schema" in said and named in said.split("chart(s):")[1]


def test_an_image_volume_needs_1_31(helm, render):
    assert "modelVolume.image needs Kubernetes 1.31" in refusal(helm, "modelVolume.image=models:1", kube="1.30.0")
    volumes = template(render(None, "modelVolume.image=models:1"))["spec"]["volumes"]
    assert {"name": "inferneo-models", "image": {"reference": "models:1", "pullPolicy": "IfNotPresent"}} in volumes


@pytest.mark.parametrize(
    "value, source",
    [
        ("modelVolume.hostPath=/srv/m", {"hostPath": {"path": "/srv/m", "type": "Directory"}}),
        ("modelVolume.existingClaim=m", {"persistentVolumeClaim": {"claimName": "m"}}),
        ("modelVolume.pvc.create=true", {"persistentVolumeClaim": {"claimName": "r-inferneo-models"}}),
        ("modelVolume.source.nfs.server=s", {"nfs": {"server": "s"}}),
    ],
)
def test_models_come_from_one_volume_that_is_only_read(render, value, source):
    spec = template(render(None, value))["spec"]
    assert {"name": "inferneo-models", **source} in spec["volumes"]
    mount = {"name": "inferneo-models", "mountPath": "/models", "readOnly": True}
    assert mount in inferneo(spec)["volumeMounts"]


def test_without_a_volume_models_are_in_the_image(render):
    assert not any(
        mount["mountPath"] == "/models" for mount in inferneo(template(render(None))["spec"])["volumeMounts"]
    )


@pytest.mark.parametrize(
    "sets, image",
    [
        ([], "inferneo:0.1.0"),
        (["gpu.enabled=true"], "inferneo:0.1.0-cuda"),
        (["image.tag=edge", "gpu.enabled=true"], "inferneo:edge"),
        (["image.tag=edge", f"image.digest={DIGEST}"], f"inferneo@{DIGEST}"),
    ],
)
def test_the_digest_goes_before_the_tag_and_that_before_the_version(render, sets, image):
    objects = render(None, *sets)
    assert inferneo(template(objects)["spec"])["image"] == image
    assert only(objects, "Pod")["spec"]["containers"][0]["image"] == image


def test_a_gpu_is_asked_for_and_never_waits_for_a_spare_one(render):
    objects = render("gpu-values.yaml")
    spec = template(objects)["spec"]
    assert inferneo(spec)["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert inferneo(spec)["resources"]["limits"]["memory"] == "1Gi"
    # CUDA is `compute`, and NVML is `utility`.
    assert inferneo(spec)["env"] == [{"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,utility"}]
    assert spec["runtimeClassName"] == "nvidia" and spec["nodeSelector"] == {"accelerator": "l4"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert rollout(objects) == {"maxSurge": 0, "maxUnavailable": 1}
    assert rollout(render(None)) == {"maxSurge": 1, "maxUnavailable": 0}


def rollout(objects):
    return only(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"]


def test_a_rollout_goes_as_fast_as_it_is_let(render):
    assert rollout(render(None, "rollout.maxSurge=10%")) == {"maxSurge": "10%", "maxUnavailable": 0}
    both = render("gpu-values.yaml", "rollout.maxSurge=2", "rollout.maxUnavailable=25%")
    assert rollout(both) == {"maxSurge": 2, "maxUnavailable": "25%"}
    none_more = render(None, "rollout.maxSurge=0", "rollout.maxUnavailable=5")
    assert rollout(none_more) == {"maxSurge": 0, "maxUnavailable": 5}


def test_a_rollout_is_not_given_up_before_a_start_is(render):
    for values, *sets in ((None,), ("everything-on-values.yaml",), (None, "startupTimeoutSeconds=3600")):
        objects = render(values, *sets)
        probe = inferneo(template(objects)["spec"])["startupProbe"]
        start = probe["periodSeconds"] * probe["failureThreshold"]
        assert only(objects, "Deployment")["spec"]["progressDeadlineSeconds"] > start


def test_a_sidecar_s_gpu_is_asked_for_in_its_pod(render):
    spec = template(render("sidecar-gpu-values.yaml"))["spec"]
    assert inferneo(spec)["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    assert spec["runtimeClassName"] == "nvidia" and spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert "nvidia.com/mig-1g.10gb" not in str(spec["containers"])


def test_own_policies_take_the_place_of_the_chart_s(render):
    data = only(render("own-policies-values.yaml"), "ConfigMap", "r-inferneo-policies")["data"]
    assert data.keys() == {"everyone.toml", "nightly.toml"}
    assert only(render(None), "ConfigMap", "r-inferneo-policies")["data"].keys() > {"adaptive.toml", "fixed_size.toml"}


def test_toml_keeps_every_kind_of_value(render, tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text(
        """
config:
  whole: 33554432
  large: 123456789012
  negative: -3
  fraction: 0.01
  tiny: 0.0000001
  switch: true
  "no": false
  text: "a \\"quote\\", a \\\\ and <&> é \\n line"
  "odd key": 1
  absent: null
  empty: []
  list: [1, 2.5, "three"]
  table: {b: 1, a: {deep: {deeper: true}}}
  rows: [{name: x, sub: {x: 1}}, {name: z}]
"""
    )
    parsed = tomllib.loads(config(render(values)))
    assert parsed["whole"] == 33554432 and isinstance(parsed["whole"], int)
    assert parsed["large"] == 123456789012 and parsed["negative"] == -3
    assert parsed["fraction"] == 0.01 and parsed["tiny"] == 1e-7
    assert parsed["switch"] is True and parsed["no"] is False
    assert parsed["text"] == 'a "quote", a \\ and <&> é \n line' and parsed["odd key"] == 1
    assert "absent" not in parsed and parsed["empty"] == [] and parsed["list"] == [1, 2.5, "three"]
    assert parsed["table"] == {"b": 1, "a": {"deep": {"deeper": True}}}
    assert parsed["rows"] == [{"name": "x", "sub": {"x": 1}}, {"name": "z"}]
    assert parsed["model"] == [{"name": "minilm", "path": "/models/minilm"}]
