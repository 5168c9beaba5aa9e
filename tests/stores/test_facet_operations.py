"""The table of operations is that of the facets."""

from __future__ import annotations

import pytest

from llmproxy.stores.facet_operations import FACET_KINDS
from llmproxy.stores.link import Operation


def test_every_method_of_a_facet_is_an_operation_of_its_own() -> None:
    names = [each.operation.name for kind in FACET_KINDS.values() for each in kind.operations]
    assert len(set(names)) == len(names)
    assert {"sessions.touch", "responses.get_many", "responses.get", "breakers.probe", "affinity.get"} <= set(names)
    assert "affinity.get_many" not in names
    messages = {each.operation.name for kind in FACET_KINDS.values() for each in kind.operations if not each.waits}
    assert messages == {"sessions.settle", "quotas.settle"}


def test_arguments_are_complete_and_in_order() -> None:
    operations = {each.method: each for each in FACET_KINDS["responses"].operations}
    assert operations["clear"].complete((), {}) == ("",)
    assert operations["clear"].complete((), {"prefix": "a"}) == ("a",)
    assert operations["set"].complete(("k",), {"ttl_s": 1.0, "value": b"v"}) == ("k", b"v", 1.0)
    with pytest.raises(TypeError):
        operations["set"].complete(("k",), {})
    assert isinstance(operations["get"].operation, Operation)
