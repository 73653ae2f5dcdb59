"""Nothing half-written leaves the chart: no placeholders, no values that a template could not print."""

import re

import pytest

# What templates leave behind when something is missing, and what people do.
HALF_WRITTEN = [r"<no value>", r"<nil>", r"%!\w?\(", r"\bmap\[", r"(?i)\b(changeme|change-me|replace-?me|placeholder|xxx+)\b"]


@pytest.mark.parametrize("pattern", HALF_WRITTEN)
def test_no_placeholder_is_rendered(helm, ci_values, pattern):
    assert re.findall(pattern, helm.template(ci_values)) == []


def test_no_field_is_null(render, ci_values):
    assert [path for item in render(ci_values) for path in nulls(item, item["kind"])] == []


def nulls(value, path):
    """The paths at which nothing stands."""
    if value is None:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        yield from nulls(below, f"{path}/{key}")
