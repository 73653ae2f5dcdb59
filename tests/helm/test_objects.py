"""The objects around the pods: scaling, budgets, network, metrics, storage, tests."""

import json

import yaml
from conftest import HELM
from parts import of_kind, only, template

FILES = HELM / "inferneo/files"
SERVER = {
    "app.kubernetes.io/name": "inferneo",
    "app.kubernetes.io/instance": "r",
    "app.kubernetes.io/component": "server",
}


def test_pods_follow_the_rows_in_flight(render):
    objects = render("autoscaling-values.yaml")
    spec = only(objects, "HorizontalPodAutoscaler")["spec"]
    assert spec["metrics"] == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "inferneo_inflight_rows"},
                "target": {"type": "AverageValue", "averageValue": "12"},
            },
        }
    ]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 20)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "r-inferneo"}
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_whoever_scales_sets_the_replicas(render):
    assert "replicas" not in only(render("autoscaling-values.yaml"), "Deployment")["spec"]
    assert only(render(None, "replicas=3"), "Deployment")["spec"]["replicas"] == 3
    assert only(render(None, "replicas=0"), "Deployment")["spec"]["replicas"] == 0


def test_a_large_target_is_written_in_full(render):
    hpa = only(
        render(None, "autoscaling.enabled=true", "autoscaling.targetInflightRows=1000000"), "HorizontalPodAutoscaler"
    )
    assert hpa["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "1000000"


def budget(render, *sets):
    spec = only(render(None, "podDisruptionBudget.enabled=true", *sets), "PodDisruptionBudget")["spec"]
    assert spec.pop("selector") == {"matchLabels": SERVER}
    return spec


def test_a_budget_has_one_bound(render):
    assert budget(render) == {"maxUnavailable": 1}
    assert budget(render, "podDisruptionBudget.minAvailable=50%") == {"minAvailable": "50%"}
    assert budget(render, "podDisruptionBudget.minAvailable=0") == {"minAvailable": 0}
    assert budget(render, "podDisruptionBudget.maxUnavailable=25%") == {"maxUnavailable": "25%"}


def policy(render, *sets, values=None):
    return only(render(values, "networkPolicy.enabled=true", *sets), "NetworkPolicy")["spec"]


def test_by_default_the_namespace_asks_and_monitoring_reads(render):
    spec = policy(render)
    data, admin = spec["ingress"]
    assert spec["podSelector"] == {"matchLabels": SERVER}
    assert data == {"ports": [{"port": 8080, "protocol": "TCP"}], "from": [{"podSelector": {}}]}
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert admin == {"ports": [{"port": 9090, "protocol": "TCP"}], "from": [monitoring]}


def test_nothing_goes_out(render):
    for sets in ([], ["upstream=http://127.0.0.1:8000"]):
        spec = policy(render, *sets)
        assert spec["policyTypes"] == ["Ingress", "Egress"] and spec["egress"] == []


def test_what_may_go_out_can_look_up_its_way(render):
    """A rule for a peer is of no use to a program that knows the peer by name."""
    for sets in ([], ["mode=sidecar", "app.image=shop:1"]):
        names, mine = policy(render, *sets, "networkPolicy.egress[0].ports[0].port=4318")["egress"]
        assert {(port["port"], port["protocol"]) for port in names["ports"]} == {(53, "UDP"), (53, "TCP")}
        assert mine == {"ports": [{"port": 4318}]}


def test_an_upstream_can_be_found_and_reached(render):
    dns, upstream = policy(render, values="upstream-values.yaml")["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert upstream == {"ports": [{"port": 9000, "protocol": "TCP"}]}
    assert policy(render, "upstream=http://x/")["egress"][1]["ports"][0]["port"] == 80


def test_named_peers_and_the_test_pod_may_ask(render):
    objects = render("networkpolicy-values.yaml")
    data = only(objects, "NetworkPolicy")["spec"]["ingress"][0]
    shop, test = data["from"]
    assert shop["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "shop"}
    assert test["podSelector"]["matchLabels"].items() <= only(objects, "Pod")["metadata"]["labels"].items()
    quiet = render("networkpolicy-values.yaml", "tests.enabled=false")
    assert len(only(quiet, "NetworkPolicy")["spec"]["ingress"][0]["from"]) == 1


def test_a_sidecar_s_policy_leaves_the_app_its_way_out(render):
    spec = policy(render, values="sidecar-values.yaml")
    assert spec["policyTypes"] == ["Ingress"] and "egress" not in spec
    assert spec["ingress"][0]["ports"][0]["port"] == 3000


def test_pods_are_read_on_the_admin_port(render):
    for values, *sets in (("autoscaling-values.yaml",), ("sidecar-values.yaml", "metrics.podMonitor.enabled=true")):
        objects = render(values, *sets)
        endpoint = only(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]
        assert endpoint["path"] == "/metrics" and endpoint["interval"] == "15s"
        spec = template(objects)["spec"]
        ports = [port for each in spec["containers"] + spec.get("initContainers", []) for port in each["ports"]]
        assert {port["name"]: port["containerPort"] for port in ports}[endpoint["port"]] == 9090


def test_a_service_monitor_has_a_service_of_its_own(render):
    objects = render("sidecar-gpu-values.yaml")
    service = only(objects, "Service", "r-inferneo-admin")
    monitor = only(objects, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert service["spec"]["ports"][0]["targetPort"] == 9090
    assert [port["port"] for port in only(objects, "Service", "r-inferneo")["spec"]["ports"]] == [80]
    assert len(of_kind(render(None), "Service")) == 1


def test_rules_are_the_files(render):
    objects = render("everything-on-values.yaml")
    written = [yaml.safe_load(path.read_text())["groups"] for path in sorted((FILES / "rules").glob("*.yaml"))]
    assert only(objects, "PrometheusRule")["spec"]["groups"] == sum(written, [])
    assert only(objects, "PrometheusRule")["metadata"]["labels"]["release"] == "prometheus"


def test_each_dashboard_is_a_config_map_that_grafana_finds(render):
    objects = render("everything-on-values.yaml")
    found = [
        each
        for each in of_kind(objects, "ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    ]
    files = sorted((FILES / "dashboards").glob("*.json"))
    assert files and len(found) == len(files)
    for path, each in zip(files, found):
        assert json.loads(each["data"][path.name]) == json.loads(path.read_text())


def test_the_claim_outlives_the_release(render):
    claim = only(render("standalone-values.yaml"), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "shared",
        "resources": {"requests": {"storage": "20Gi"}},
    }


def test_helm_test_really_infers(render):
    pod = only(render(None), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["args"] == ["doctor", "--url", "http://r-inferneo:80"]
    assert pod["spec"]["restartPolicy"] == "Never"


def test_extra_objects_are_templates(render):
    objects = render("everything-on-values.yaml")
    assert only(objects, "ConfigMap", "r-notes")["data"] == {"replicas": "1"}
    assert only(objects, "ConfigMap", "r-text")
