"""The rules by which `promtool check metrics` judges an exposition, as far as they concern ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.program import ROOT

_NAME = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]")
_UNITS = ("milliseconds", "ms", "minutes", "kilobytes", "mb", "percent")
_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")


def lint(text: str) -> list[str]:
    """Return what is wrong with the text, a line each."""
    seen: set[str] = set()
    problems: list[str] = []
    for family in text_string_to_metric_families(text):
        if family.name in seen:
            problems.append(f"{family.name}: stands there twice")
        seen.add(family.name)
        problems += [f"{family.name}: {problem}" for problem in _problems(family)]
    return problems


def names(text: str) -> set[str]:
    """Return the names of all metrics as queries write them, those of histograms without their endings."""
    families = text_string_to_metric_families(text)
    return {f"{each.name}_total" if each.type == "counter" else each.name for each in families}


def documented() -> dict[str, set[str]]:
    """Return the metrics in the table of the docs, with their labels."""
    rows = re.findall(
        r"^\| (`(?:llmproxy|http)_.*?) \|", (ROOT / "llmproxy/docs/metrics.md").read_text("utf-8"), re.MULTILINE
    )
    spans = [re.fullmatch(r"(\w+)(?:\{(.*)\})?", each) for row in rows for each in re.findall(r"`([^`]+)`", row)]
    return {match[1]: set((match[2] or "").split(", ")) for match in spans if match is not None}


def _problems(family: Metric) -> Iterator[str]:
    name, type_ = family.name, family.type
    labels = [tuple(sorted(sample.labels)) for sample in family.samples if "le" not in sample.labels]
    keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
    wrong = {
        "is no name in snake case": not _NAME.fullmatch(name),
        "has no help text": not family.documentation.strip(),
        f"is of the type {type_}": type_ not in ("counter", "gauge", "histogram"),
        "is a gauge named like a counter": type_ == "gauge" and name.endswith("_total"),
        "is named like a part of a histogram": type_ != "histogram" and name.endswith(_OF_HISTOGRAMS),
        "has a unit that is not a base unit (seconds, bytes)": any(part in _UNITS for part in name.split("_")),
        "has samples with different labels": len(set(labels)) > 1,
        "has a sample twice": len(set(keys)) < len(keys),
    }
    yield from (problem for problem, there in wrong.items() if there)
    if type_ == "histogram":
        yield from _histogram_problems(family)


def _histogram_problems(family: Metric) -> Iterator[str]:
    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    counts: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        key = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[key] = sample.value
    for key, bounds in buckets.items():
        if bounds != sorted(bounds) or bounds[-1] != (float("inf"), counts.get(key)):
            yield "has buckets that do not grow up to its count"
