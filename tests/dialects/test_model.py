"""The values of the neutral vocabulary."""

from __future__ import annotations

from llmproxy.dialects.model import Citation, Request, Text


def test_a_request_knows_where_its_values_stood() -> None:
    request = Request(dialect="x", model="m", paths={"effort": "reasoning.effort"})
    assert (request.where("effort"), request.where("top_k")) == ("reasoning.effort", "top_k")


def test_nodes_share_nothing() -> None:
    first, second = Text(text="a"), Text(text="b")
    first.extra["x"] = 1
    first.annotations.append(Citation())
    assert (second.extra, second.annotations) == ({}, [])
