"""Rules that hold for every pod, in every mode and with every values file."""

import pytest
from parts import config, containers, inferneo, of_kind, only, pod_specs, template

RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def objects(render, ci_values):
    return render(ci_values)


def test_every_container_is_restricted(objects):
    for spec in pod_specs(objects):
        for container in containers(spec):
            rights = {**spec.get("securityContext", {}), **container["securityContext"]}
            assert (
                rights["runAsNonRoot"] and not rights["allowPrivilegeEscalation"] and rights["readOnlyRootFilesystem"]
            )
            assert rights["capabilities"] == {"drop": ["ALL"]} and rights["seccompProfile"] == {
                "type": "RuntimeDefault"
            }
            if container["image"].split("@")[0].split(":")[0].endswith("inferneo"):
                assert container["securityContext"] == RESTRICTED


def test_nothing_may_speak_to_the_api_server(objects):
    assert not any("Role" in each["kind"] for each in objects)
    for spec in pod_specs([each for each in objects if each["kind"] != "ServingRuntime"]):
        assert spec["automountServiceAccountToken"] is False
    for account in of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_a_service_of_our_name_sets_nothing(objects):
    """Kubernetes would put INFERNEO_PORT and the like into the environment, where settings are read from."""
    for spec in pod_specs([each for each in objects if each["kind"] != "ServingRuntime"]):
        assert spec["enableServiceLinks"] is False


def test_policies_are_a_mounted_folder_that_can_change(objects):
    policies = [each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"].endswith("-policies")]
    assert len(policies) == 1 and "immutable" not in policies[0]
    for spec in pod_specs([each for each in objects if each["kind"] != "Pod"]):
        mounts = {mount["name"]: mount for mount in inferneo(spec)["volumeMounts"]}
        assert mounts["inferneo-policies"] == {
            "name": "inferneo-policies",
            "mountPath": "/etc/inferneo/policies",
            "readOnly": True,
        }
        assert not any("subPath" in mount or "subPathExpr" in mount for mount in mounts.values())
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        # The whole map: `items` would hide files that are added later.
        assert volumes["inferneo-policies"]["configMap"] == {"name": policies[0]["metadata"]["name"]}
        assert volumes["inferneo-tmp"]["emptyDir"] == {"sizeLimit": "64Mi"}
        assert mounts["inferneo-tmp"]["mountPath"] == "/tmp"


def test_no_hook_runs_before_the_end(objects):
    for spec in pod_specs(objects):
        assert not any("lifecycle" in container for container in containers(spec))


def test_probes_ask_a_number(objects):
    for spec in pod_specs([each for each in objects if each["kind"] != "Pod"]):
        container = inferneo(spec)
        probes = [container[key]["httpGet"] for key in ("startupProbe", "readinessProbe", "livenessProbe")]
        assert all(isinstance(probe["port"], int) for probe in probes)


def test_the_pod_outlives_its_drain(objects):
    seconds = {key: int(value.strip('"s')) for key, value in drain_lines(config(objects))}
    for deployment in of_kind(objects, "Deployment"):
        grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace >= seconds["drain_delay"] + seconds["drain_timeout"] + 5


def drain_lines(text):
    return [line.split(" = ") for line in text.splitlines() if line.startswith("drain_")]


def test_a_policy_edit_leaves_the_pods_alone(render, ci_values):
    if "kserve" in ci_values:

        def pods(objects):
            return only(objects, "ServingRuntime")
    else:
        pods = template
    edited = render(ci_values, r"policies.edited\.toml=schema = 1")
    before = render(ci_values)
    assert pods(edited) == pods(before)
    maps = [of_kind(each, "ConfigMap") for each in (before, edited)]
    assert maps[0] != maps[1]


def test_a_policy_edit_changes_no_byte_of_the_pod_template(helm):
    def deployment(*sets):
        text = helm.template(None, *sets)
        return text[text.index("kind: Deployment") :].split("\n---")[0]

    assert deployment(r"policies.edited\.toml=schema = 1") == deployment()


def test_a_config_edit_makes_new_pods(render, ci_values):
    if "kserve" not in ci_values:
        assert template(render(ci_values, "logLevel=warn")) != template(render(ci_values))


def test_the_selector_finds_the_server_and_nothing_else(render, ci_values):
    objects = render(ci_values)
    for service in of_kind(objects, "Service"):
        labels = template(objects)["metadata"]["labels"].items()
        assert service["spec"]["selector"].items() <= labels
        for pod in of_kind(objects, "Pod"):
            assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
