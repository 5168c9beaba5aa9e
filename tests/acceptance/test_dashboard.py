"""The Grafana dashboard: each of its queries names metrics and labels that the running program has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.program import ROOT
from tests.support.promtool import documented

pytestmark = pytest.mark.ledger("O5")
DASHBOARD = json.loads((ROOT / "configs" / "deploy" / "grafana.json").read_text("utf-8"))
_METRIC = re.compile(r"\b((?:llmproxy|http|process)_[a-z0-9_]+)")
_SELECTOR = re.compile(r"\b((?:llmproxy|http)_[a-z0-9_]+)\{([^}]*)\}")
_OF_SCRAPES = {"job", "instance", "le"}


def queries() -> Iterator[str]:
    """Yield the queries of all panels, and those of variables."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each)


def family(name: str) -> str:
    """Return the metric that a series belongs to: histograms have several."""
    return name if name in documented() else re.sub(r"_(bucket|sum|count)$", "", name)


def test_every_query_names_metrics_that_exist() -> None:
    named = {family(name) for query in queries() for name in _METRIC.findall(query)}
    assert len(named) > 20
    assert {name for name in named if not name.startswith("process_")} - documented().keys() == set()


def test_every_query_filters_and_groups_by_labels_that_exist() -> None:
    wrong = []
    for query in queries():
        names = [family(name) for name in _METRIC.findall(query) if not name.startswith("process_")]
        known = _OF_SCRAPES.union(*(documented()[name] for name in names))
        for name, selector in _SELECTOR.findall(query):
            allowed = documented()[family(name)] | _OF_SCRAPES
            wrong += [(name, label) for label in re.findall(r"(\w+)\s*(?:=|!)", selector) if label not in allowed]
        for grouped in re.findall(r"\bby \(([^)]*)\)", query):
            wrong += [(query, label) for label in grouped.split(", ") if label not in known]
    assert wrong == []


def test_every_panel_has_a_place_a_unit_and_a_source_that_can_be_chosen() -> None:
    panels: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    places = [tuple(panel["gridPos"][name] for name in "xywh") for panel in panels]
    assert len(set(places)) == len(places) and all(x + width <= 24 for x, _, width, _ in places)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
