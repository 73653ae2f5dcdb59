"""The rules parse, every alert has a test that it fires and one that it does not, and a section in the runbook."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import HELM, ROOT

RULES = HELM / "inferneo/files/rules/inferneo-rules.yaml"
TESTS = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
NAMES = [alert["alert"] for alert in ALERTS]


def test_promtool_accepts_the_rules(promtool):
    said = subprocess.run([promtool, "check", "rules", "--lint-fatal", RULES], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr + said.stdout


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.name.split(".")[0])
def test_alerts_fire_when_they_must_and_not_otherwise(promtool, tests):
    said = subprocess.run([promtool, "test", "rules", tests], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr + said.stdout


@pytest.mark.parametrize("alert", NAMES)
def test_each_alert_is_seen_firing_and_quiet(alert):
    groups = [group for path in TESTS for group in yaml.safe_load(path.read_text())["tests"]]
    mine = {group["name"].split(" ")[1]: group for group in groups if group["name"].startswith(f"{alert}: ")}
    assert set(mine) == {"fires", "quiet"}
    samples = [sample for test in mine["fires"]["promql_expr_test"] for sample in test.get("exp_samples", [])]
    assert any(f'"{alert}"' in sample["labels"] for sample in samples)
    assert any("exp_samples" not in test for test in mine["quiet"]["promql_expr_test"])


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_each_alert_says_what_is_wrong_where_and_what_to_do(alert):
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    assert "{{ $labels.namespace }}" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    text = (ROOT / "docs/runbook.md").read_text()
    sections = dict(re.findall(r"^### (Inferneo\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == NAMES
    for name, section in sections.items():
        assert all(f"**{part}.**" in section for part in ("Means", "Look at", "Do")), name


def test_the_chart_ships_the_rules_unchanged(render):
    rendered = [item for item in render("everything-on-values.yaml") if item["kind"] == "PrometheusRule"]
    assert [item["spec"]["groups"] for item in rendered] == [GROUPS]
