#!/usr/bin/env python3
"""Writes the table of values into the charts' READMEs, from the comments in their values.yaml.

  scripts/chart_readme.py           rewrites what has changed
  scripts/chart_readme.py --check   fails where a README is out of step

A key has a row if the lines above it are a comment that begins with `# --`. A map with such a comment is
one row; one without has a row for each key in it. Needs PyYAML.
"""

import json
import sys
from pathlib import Path

import yaml

HELM = Path(__file__).resolve().parent.parent / "helm"
CHARTS = [HELM / "inferneo", HELM / "inferneo-lib"]
START, END = "<!-- values -->\n", "<!-- end of values -->\n"
# Longer defaults are not shown: the file says them better.
LONGEST_DEFAULT = 60


def main(arguments):
    stale = [chart for chart in CHARTS if (chart / "README.md").read_text() != readme(chart)]
    for chart in stale:
        if "--check" in arguments:
            print(f"{chart.name}/README.md: out of step with values.yaml; run scripts/chart_readme.py")
        else:
            (chart / "README.md").write_text(readme(chart))
    return 1 if stale and "--check" in arguments else 0


def readme(chart):
    """The README as it should be."""
    text = (chart / "README.md").read_text()
    before, rest = text.split(START)
    after = rest.split(END)[1]
    return before + START + table((chart / "values.yaml").read_text()) + END + after


def table(text):
    """The rows of a values.yaml, as a Markdown table."""
    rows = [f"| `{key}` | {shown(default)} | {comment} |\n" for key, comment, default in described(text)]
    return "| key | default | what it does |\n| --- | --- | --- |\n" + "".join(rows)


def described(text):
    """Dotted key, comment and default of everything that has a comment."""
    lines = text.splitlines()
    defaults = yaml.safe_load(text)
    return [
        (".".join(path), comment, value_at(defaults, path)) for path, comment in walk(yaml.compose(text), (), lines)
    ]


def undescribed(text):
    """Dotted keys of the values that no comment describes."""
    lines = text.splitlines()
    found = walk(yaml.compose(text), (), lines, with_silent=True)
    return [".".join(path) for path, comment in found if comment is None]


def walk(node, path, lines, with_silent=False):
    for key, value in node.value:
        here = (*path, key.value)
        comment = comment_above(key.start_mark.line, lines)
        if comment is not None:
            yield here, comment
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from walk(value, here, lines, with_silent)
        elif with_silent:
            yield here, None


def comment_above(line, lines):
    """The text of the `# --` comment that ends right above a line."""
    found = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().lstrip("#").strip())
        if found[0].startswith("-- "):
            return " ".join(found)[3:]
    return None


def value_at(values, path):
    for key in path:
        values = values[key]
    return values


def shown(default):
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "see values.yaml"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
