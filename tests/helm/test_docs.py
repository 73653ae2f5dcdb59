"""The pages about the charts: every command and every file they show.

A `console` block holds commands after `$ `; a `yaml` block whose first line is `# NAME.yaml` is the file of that name.
"""

import re
import shlex
import tomllib

import pytest
import yaml
from conftest import HELM, ROOT, documents
from parts import of_kind, only, template

README = ROOT / "README.md"
PAGES = [ROOT / "docs/kubernetes.md", HELM / "inferneo/README.md", README]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(page, language):
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def commands(page):
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    if page == README:
        # It has no prompts, and what is not about the chart is run by tests/it/readme.rs.
        return [shlex.split(line) for line in lines if line.startswith("helm ")]
    assert all(line.startswith("$ ") for line in lines)
    return [shlex.split(line[2:]) for line in lines]


def files(page):
    named = [text for text in blocks(page, "yaml") if text.startswith("# ")]
    return {text.split("\n")[0][2:]: text for text in named}


RENDERED = [
    (page, words)
    for page in PAGES
    for words in commands(page)
    if words[:2] in (["helm", "install"], ["helm", "upgrade"])
]
KUBECTL = [words for page in PAGES for words in commands(page) if words[0] == "kubectl"]
VALUES = {words[words.index("--values") + 1] for _, words in RENDERED if "--values" in words}


@pytest.mark.parametrize("page, words", RENDERED, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_what_is_installed_renders(helm, tmp_path, page, words):
    release, chart, *flags = words[2:]
    assert chart == "helm/inferneo"
    for name, text in files(page).items():
        (tmp_path / name).write_text(text)
    flags = [tmp_path / word if before == "--values" else word for before, word in zip([None, *flags], flags)]
    objects = documents(helm.run("template", release, helm.chart, *flags).stdout)
    assert of_kind(objects, "Deployment") or of_kind(objects, "ServingRuntime")


def test_no_command_is_left_out():
    known = {"dependency", "install", "test", "upgrade"}
    heard = {words[1] for page in PAGES for words in commands(page) if words[0] == "helm"}
    assert heard == known and len(RENDERED) >= 9
    assert {words[0] for page in PAGES for words in commands(page)} == {"helm", "kubectl"}


def test_every_file_of_the_page_is_used():
    named = files(PAGES[0])
    applied = {words[3] for words in KUBECTL if words[1:3] == ["apply", "-f"]}
    # The first is a chart's, the second the values of another chart.
    assert named.keys() == VALUES | applied | {"Chart.yaml", "adapter.yaml"}
    for name in applied:
        assert yaml.safe_load(named[name])["kind"] in ("Pod", "InferenceService")


def test_objects_that_commands_name_are_the_release_s(render):
    objects = render("standalone-values.yaml", release="inferneo")
    named = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in objects}
    for words in KUBECTL:
        for word in words:
            if re.match(r"^(deployment|service|configmap)/", word):
                assert word in named
    labels = template(objects)["metadata"]["labels"]
    selector = next(words[words.index("-l") + 1] for words in KUBECTL if "-l" in words)
    assert dict(each.split("=") for each in selector.split(",")).items() <= labels.items()
    assert f"claimName: {only(objects, 'PersistentVolumeClaim')['metadata']['name']}" in files(PAGES[0])["copy.yaml"]


def test_the_page_s_policies_are_policies():
    for text in yaml.safe_load(files(PAGES[0])["policies.yaml"])["policies"].values():
        assert "strategy" in tomllib.loads(text)


def test_the_adapter_serves_what_the_autoscaler_reads(render):
    rule = yaml.safe_load(files(PAGES[0])["adapter.yaml"])["rules"]["custom"][0]
    spec = only(render("autoscaling-values.yaml"), "HorizontalPodAutoscaler")["spec"]
    name = spec["metrics"][0]["pods"]["metric"]["name"]
    assert rule["name"]["as"] == name and rule["seriesQuery"].startswith(f"{name}{{")


def test_the_library_s_example_is_the_tested_chart():
    """What its README shows of templates and dependencies is in tests/helm/consumer."""
    page, consumer = HELM / "inferneo-lib/README.md", ROOT / "tests/helm/consumer"
    dependency, deployment = blocks(page, "yaml")
    assert deployment == (consumer / "templates/deployment.yaml").read_text()
    ours = yaml.safe_load((consumer / "Chart.yaml").read_text())["dependencies"][0]
    theirs = yaml.safe_load(dependency)["dependencies"][0]
    assert {**ours, "repository": ""} == {**theirs, "repository": ""}


def test_links_lead_somewhere():
    for page in [*PAGES, HELM / "inferneo-lib/README.md"]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"
