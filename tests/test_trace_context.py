from __future__ import annotations

import pytest

from llmproxy.trace_context import continued_trace, new_trace

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_sampled_trace_goes_on_with_a_span_of_ours() -> None:
    trace = continued_trace(f"00-{TRACE}-{PARENT}-01")
    assert trace is not None and (trace.trace_id, trace.parent_id) == (TRACE, PARENT)
    assert trace.span_id != PARENT and trace.header("0" * 15 + "1") == f"00-{TRACE}-{'0' * 15}1-01"


def test_a_trace_that_is_not_sampled_is_passed_on_as_it_came() -> None:
    trace = continued_trace(f"00-{TRACE}-{PARENT}-00")
    assert trace is not None and trace.header(trace.span_id) == f"00-{TRACE}-{PARENT}-00"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-1-2-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-0x",
    ],
)
def test_a_malformed_header_is_ignored(header: str) -> None:
    assert continued_trace(header) is None


def test_a_later_version_may_say_more() -> None:
    assert continued_trace(f"01-{TRACE}-{PARENT}-01-more") is not None


def test_a_new_trace_has_ids_of_the_right_length() -> None:
    trace = new_trace()
    assert (len(trace.trace_id), len(trace.span_id), trace.parent_id, trace.sampled) == (32, 16, None, True)
