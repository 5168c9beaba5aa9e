from __future__ import annotations

import gc
import weakref

import pytest

from llmproxy.errors import BadRequest, BrokenStream, Overloaded, ProxyError, UpstreamError, forget_frames


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (ProxyError("x"), 500, "internal_error", False),
        (BadRequest("x"), 400, "invalid_request", False),
        (BadRequest("x", status=413, code="request_too_large"), 413, "request_too_large", False),
        (UpstreamError("x"), 502, "upstream_error", True),
        (UpstreamError("x", status=504, code="timeout"), 504, "timeout", True),
        (BrokenStream("x"), 502, "upstream_stream_broken", True),
        (Overloaded("x"), 503, "overloaded", False),
    ],
)
def test_each_error_knows_status_code_and_whether_another_target_may_be_tried(
    error: ProxyError, status: int, code: str, retryable: bool
) -> None:
    assert (error.status, error.code, error.retryable) == (status, code, retryable)
    assert str(error) == error.message == "x"


def test_only_an_upstream_error_that_says_so_may_be_replayed() -> None:
    assert UpstreamError("x", replayable=True).replayable
    assert not UpstreamError("x").replayable
    assert not BrokenStream("x").replayable


def test_a_bad_request_names_the_member_that_is_at_fault() -> None:
    assert BadRequest("x", param="model").param == "model"
    assert BadRequest("x").param is None


def test_an_overloaded_proxy_says_when_to_come_back() -> None:
    assert Overloaded("x", retry_after_s=7).headers == (("Retry-After", "7"),)


def test_an_error_that_is_kept_keeps_nothing_of_where_it_was_raised() -> None:
    class Large:
        pass

    def fail() -> tuple[ProxyError, weakref.ref[Large]]:
        body = Large()
        try:
            try:
                raise ValueError("cause")
            except ValueError as cause:
                raise ProxyError("kept") from cause
        except ProxyError as error:
            kept = error
        forget_frames(kept)
        return kept, weakref.ref(body)

    gc.disable()
    try:
        error, body = fail()
        assert body() is None
    finally:
        gc.enable()
    assert error.message == "kept" and isinstance(error.__cause__, ValueError)
