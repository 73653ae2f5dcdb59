"""The charts as packages: versions, files that must equal others, and what a user needs before an install."""

import json
import shutil
import sys

import pytest
import yaml
from conftest import HELM, ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import chart_readme  # noqa: E402

CHART, LIBRARY = HELM / "inferneo", HELM / "inferneo-lib"


def load(path):
    return yaml.safe_load(path.read_text())


def test_all_versions_are_the_program_s():
    cargo = (ROOT / "Cargo.toml").read_text()
    version = next(line.split('"')[1] for line in cargo.splitlines() if line.startswith("version = "))
    about, library = load(CHART / "Chart.yaml"), load(LIBRARY / "Chart.yaml")
    assert {each[key] for each in (about, library) for key in ("version", "appVersion")} == {version}
    assert about["dependencies"] == [
        {"name": "inferneo-lib", "version": version, "repository": "file://../inferneo-lib"}
    ]
    assert f"\n{version}\n" in (LIBRARY / "templates/_labels.tpl").read_text()
    assert library["type"] == "library"
    assert {about["kubeVersion"], library["kubeVersion"]} == {">=1.25.0-0"}


def test_the_chart_carries_the_project_s_policies():
    ours, project = CHART / "files/policies", ROOT / "policies"
    assert {path.name for path in ours.iterdir()} == {path.name for path in project.iterdir()}
    for path in project.iterdir():
        assert (ours / path.name).read_text() == path.read_text(), f"copy policies/{path.name} to {ours}"


@pytest.mark.parametrize("chart", chart_readme.CHARTS, ids=lambda chart: chart.name)
def test_the_readme_is_in_step_with_the_comments(chart):
    assert (chart / "README.md").read_text() == chart_readme.readme(chart), "run scripts/chart_readme.py"


@pytest.mark.parametrize("chart", chart_readme.CHARTS, ids=lambda chart: chart.name)
def test_every_value_is_described(chart):
    assert chart_readme.undescribed((chart / "values.yaml").read_text()) == []


def test_chart_and_library_agree_on_what_both_have():
    chart, library = load(CHART / "values.yaml"), load(LIBRARY / "values.yaml")
    assert {key: chart[key] for key in library} == library
    schemas = [json.loads((each / "values.schema.json").read_text())["properties"] for each in (CHART, LIBRARY)]
    assert {key: schemas[0][key] for key in schemas[1]} == schemas[1]


@pytest.mark.parametrize("chart", chart_readme.CHARTS, ids=lambda chart: chart.name)
def test_the_schema_knows_every_value_and_no_others(chart):
    schema = json.loads((chart / "values.schema.json").read_text())
    # What Helm adds by itself.
    known = set(schema["properties"]) - {"global", "inferneo-lib"}
    assert known == set(load(chart / "values.yaml"))
    assert open_objects(schema) == []


def open_objects(schema, path=""):
    """Objects with named properties that would take others as well."""
    found = []
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("additionalProperties") is not False:
            found.append(path)
        for key, value in schema.items():
            found += open_objects(value, f"{path}/{key}")
    return found


def test_a_clone_needs_no_network_to_build_its_dependencies(helm, tmp_path):
    """`helm dependency build` and `update` read the library from beside the chart."""
    for chart in (CHART, LIBRARY):
        shutil.copytree(chart, tmp_path / chart.name, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    for verb in ("build", "update"):
        helm.run("dependency", verb, tmp_path / "inferneo")
        assert [path.name for path in (tmp_path / "inferneo/charts").iterdir()] == ["inferneo-lib-0.1.0.tgz"]
    helm.run("lint", "--strict", tmp_path / "inferneo")


def test_a_package_leaves_test_values_out(helm, chart, tmp_path):
    helm.run("package", chart, "--destination", tmp_path)
    shown = helm.run("show", "values", tmp_path / "inferneo-0.1.0.tgz").stdout
    assert yaml.safe_load(shown) == load(CHART / "values.yaml")
    shutil.unpack_archive(tmp_path / "inferneo-0.1.0.tgz", tmp_path)
    names = {path.name for path in (tmp_path / "inferneo").iterdir()}
    assert "ci" not in names and {"charts", "files", "values.schema.json", "README.md"} <= names
