"""What is rendered in each mode."""

import shutil

import pytest
from conftest import HELM, ROOT, documents, make_helm
from parts import config, containers, inferneo, of_kind, only, template

SIDECAR = ("mode=sidecar", "app.image=shop:1")
# The checksum of the config, in pods that are not the chart's own.
CHECKSUM = "inferneo.io/config-checksum"


def test_standalone_listens_to_the_pod_network(render):
    objects = render(None)
    container = inferneo(template(objects)["spec"])
    assert container["args"] == ["serve", "--config", "/etc/inferneo/config/inferneo.toml"]
    assert [port["containerPort"] for port in container["ports"]] == [8080, 9090]
    assert 'listen = "0.0.0.0:8080"\n' in config(objects) and 'admin_listen = "0.0.0.0:9090"\n' in config(objects)
    assert only(objects, "Service")["spec"]["ports"][0]["targetPort"] == 8080
    assert container["startupProbe"]["httpGet"] == {"path": "/readyz", "port": 9090}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": 9090}
    assert "initContainers" not in template(objects)["spec"]


@pytest.mark.parametrize("kube", ["1.29.0", "1.29.4-eks-036c24b", "1.37.0"])
def test_a_sidecar_is_native_from_1_29(render, kube):
    spec = template(render(None, *SIDECAR, kube=kube))["spec"]
    assert [container["name"] for container in spec["containers"]] == ["app"]
    assert [container["name"] for container in spec["initContainers"]] == ["inferneo"]
    assert spec["initContainers"][0]["restartPolicy"] == "Always"
    assert spec["initContainers"][0]["startupProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("kube", ["1.25.0", "1.28.15"])
def test_a_sidecar_is_a_container_before_1_29(render, kube):
    spec = template(render(None, *SIDECAR, kube=kube))["spec"]
    assert [container["name"] for container in spec["containers"]] == ["app", "inferneo"]
    assert "initContainers" not in spec and "restartPolicy" not in spec["containers"][1]


def test_a_sidecar_serves_its_own_pod_alone(render):
    objects = render("sidecar-values.yaml")
    assert 'listen = "127.0.0.1:8080"\n' in config(objects)
    assert [port["containerPort"] for port in inferneo(template(objects)["spec"])["ports"]] == [9090]
    assert only(objects, "Service")["spec"]["ports"][0]["targetPort"] == 3000
    # Nothing outside the pod could ask it.
    assert of_kind(objects, "Pod") == []


def test_the_chart_s_own_pods_have_the_usual_checksum(render):
    runtime = only(render("kserve-values.yaml"), "ServingRuntime")["spec"]
    for annotations in [
        *(template(render(None, *sets))["metadata"]["annotations"] for sets in ((), SIDECAR)),
        runtime["annotations"],
    ]:
        assert len(annotations["checksum/config"]) == 64 and CHECKSUM not in annotations


def test_the_app_is_as_the_values_say(render):
    app = template(render("sidecar-values.yaml"))["spec"]["containers"][0]
    assert app["name"] == "shop" and app["image"] == "shop:1.2.3"
    assert app["ports"][0]["containerPort"] == 3000 and app["env"][0]["name"] == "EMBEDDINGS_URL"
    assert app["volumeMounts"] == [{"name": "cache", "mountPath": "/cache"}]


def test_the_sidecar_s_container_is_the_standalone_one_but_for_its_ports(render):
    alone, beside = (inferneo(template(render(None, *sets))["spec"]) for sets in ((), SIDECAR))
    own = {"ports", "restartPolicy"}
    assert {key: alone[key] for key in alone.keys() - own} == {key: beside[key] for key in beside.keys() - own}


def test_kserve_gets_a_runtime_and_no_pods(render):
    objects = render("kserve-values.yaml")
    kinds = {each["kind"] for each in objects}
    assert kinds == {"ServingRuntime", "ConfigMap", "PrometheusRule"}
    spec = only(objects, "ServingRuntime")["spec"]
    assert [container["name"] for container in spec["containers"]] == ["kserve-container"]
    assert "initContainers" not in spec
    container = spec["containers"][0]
    assert container["args"][-2:] == ["--model", "{{.Name}}=/mnt/models"]
    # Knative takes one port a container, and probes of that port.
    assert [port["containerPort"] for port in container["ports"]] == [8080]
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}
    assert container["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": 8080}
    # Without it a model that loads for half a minute would be killed for want of life.
    assert container["startupProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}
    assert [each["name"] for each in spec["supportedModelFormats"]] == ["onnx"]
    assert not any(mount["mountPath"] == "/models" for mount in container["volumeMounts"])


def test_kserve_on_gpus(render):
    spec = only(render("kserve-pvc-values.yaml"), "ServingRuntime")["spec"]
    assert spec["containers"][0]["image"] == "inferneo:0.1.0-cuda"
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    """A chart of somebody else's that includes the library."""
    folder = tmp_path_factory.mktemp("consumer")
    unbuilt = shutil.ignore_patterns("charts", "Chart.lock")
    shutil.copytree(HELM / "inferneo-lib", folder / "helm/inferneo-lib", ignore=unbuilt)
    shutil.copytree(ROOT / "tests/helm/consumer", folder / "tests/helm/consumer", ignore=unbuilt)
    chart = folder / "tests/helm/consumer"
    make_helm("4.3.1", chart, tmp_path_factory).run("dependency", "update", "--skip-refresh", chart)
    return chart


def rendered(helm, chart, *sets, kube="1.37.0"):
    words = [word for text in sets for word in ("--set", text)]
    return documents(helm.run("template", "r", chart, "--namespace", "n", "--kube-version", kube, *words).stdout)


def test_a_chart_of_somebody_else_gets_the_same_sidecar(helm, consumer, render):
    theirs = template(rendered(helm, consumer))
    ours = template(render(None, *SIDECAR, "modelVolume.existingClaim=models"))
    assert inferneo(theirs["spec"]) == inferneo(ours["spec"])
    assert [volume for volume in theirs["spec"]["volumes"] if volume["name"] != "cache"] == ours["spec"]["volumes"]
    theirs, ours = (pod["metadata"]["annotations"] for pod in (theirs, ours))
    assert theirs[CHECKSUM] == ours["checksum/config"] and CHECKSUM not in ours


def test_what_their_pod_says_stays(helm, consumer):
    pod = template(rendered(helm, consumer))
    annotations = pod["metadata"]["annotations"]
    assert annotations.keys() == {"shop", "checksum/config", CHECKSUM}
    assert (annotations["shop"], annotations["checksum/config"]) == ("open", "theirs")
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["migrate", "inferneo"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["shop"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60
    old = template(rendered(helm, consumer, kube="1.28.0"))
    assert [each["name"] for each in containers(old["spec"])] == ["migrate", "shop", "inferneo"]


def test_their_release_has_the_sidecar_s_objects(helm, consumer):
    objects = rendered(helm, consumer, "inferneo.modelVolume.existingClaim=", "inferneo.modelVolume.pvc.create=true")
    assert [each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")] == [
        "r-inferneo-config",
        "r-inferneo-policies",
    ]
    assert only(objects, "ConfigMap", "r-inferneo-policies")["data"].keys() == {"default.toml"}
    assert only(objects, "PersistentVolumeClaim")["metadata"]["name"] == "r-inferneo-models"


@pytest.mark.parametrize(
    "value, said",
    [
        ("inferneo.ports.data=3000", "the container shop uses port 3000, and so does the sidecar"),
        ("inferneo.drain.timeoutSeconds=56", "terminationGracePeriodSeconds (60) is too short"),
        ("inferneo.colour=red", "colour"),
    ],
)
def test_a_pod_without_room_is_refused(helm, consumer, value, said):
    done = helm.run("template", "r", consumer, "--set", value, check=False)
    assert done.returncode != 0 and said in done.stderr
