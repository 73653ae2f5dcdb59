"""The dashboard is whole, and it and the rules name what the program exports: all of it, and nothing else."""

import json
import re
import subprocess
from pathlib import Path

import exported
import pytest
import yaml
from conftest import HELM, ROOT

DASHBOARD = json.loads((HELM / "inferneo/files/dashboards/inferneo.json").read_text())
RULES = yaml.safe_load((HELM / "inferneo/files/rules/inferneo-rules.yaml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TITLES = [f"{panel['id']}-{panel['title']}" for panel in PANELS]
SHOWN = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = [item["query"]["query"] for item in DASHBOARD["templating"]["list"] if item["type"] == "query"]
RULED = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
NOT_SHOWN = Path(__file__).parent / "metrics-not-shown.txt"


def named(expressions):
    """The program's metrics in PromQL."""
    plain = (re.sub(r'"[^"]*"', "", expression) for expression in expressions)
    return {name for text in plain for name in re.findall(r"\b(?:inferneo|process)_[a-z0-9_]+\b", text)}


def families(names):
    """The same with the three series of a histogram as one."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


@pytest.fixture(scope="module")
def live(binary, tmp_path_factory):
    """What the program exports, on a CPU and where a GPU is seen."""
    folder = tmp_path_factory.mktemp("exported")
    seen = exported.on_cpu(binary, folder) | exported.with_gpu(binary, folder) | exported.with_keys(binary, folder)
    assert not seen & exported.ON_A_GPU
    return seen | exported.ON_A_GPU


def test_the_dashboard_is_of_a_form_that_grafana_reads():
    assert DASHBOARD["schemaVersion"] >= 39
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "namespace", "model", "pod"]
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == "Overview,Traffic,Latency,Batching,Policies,Cost model,Devices,GPUs,Process".split(",")


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_every_panel_has_a_query_a_unit_and_a_description(panel):
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert all(target["expr"] for target in panel["targets"]) and panel["targets"]
    assert panel["datasource"]["uid"] == "${datasource}"


def test_panels_have_their_own_places():
    taken = set()
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_promtool_parses_every_query(promtool, tmp_path):
    plain = [re.sub(r"\$__(rate_)?interval", "5m", expression) for expression in SHOWN]
    rules = [{"record": f"panel_{number}", "expr": expression} for number, expression in enumerate(plain)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    said = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr + said.stdout


def test_what_the_rules_name_is_exported(live):
    assert named(RULED) - live == set()


def test_what_the_dashboard_names_is_exported(live):
    assert named(SHOWN + VARIABLES) - live == set()


def test_what_is_exported_is_shown_or_listed_with_a_reason(live):
    listed = dict(line.split("  ", 1) for line in NOT_SHOWN.read_text().splitlines() if not line.startswith("#"))
    assert all(listed.values())
    assert families(live) - families(named(RULED + SHOWN)) == set(listed)


def test_what_is_named_is_documented():
    page = (ROOT / "docs/interface.md").read_text()
    named_here = families(named(RULED + SHOWN))
    assert {name for name in named_here if name.startswith("inferneo_") and f"`{name}`" not in page} == set()
