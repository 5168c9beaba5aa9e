"""What `tests/server/test_request_handler_user_code.py` does not see: slow hooks, and whose failure it is."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.errors import ComponentFailed, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.middleware import user_hooks
from llmproxy.middleware.user_hooks import wrap_around, wrap_request, wrap_response
from tests.middleware.test_base import exchange


async def _nothing(*_: Any) -> None:
    return None


class Clock:
    """A clock that each look moves on by `step_s` seconds."""

    def __init__(self, step_s: float) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def monotonic(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.mark.parametrize(("took_s", "reports"), [(0.1, 0), (3.0, 1), (100.0, 3)])
async def test_a_slow_hook_is_named_with_its_seconds_once_a_minute(
    took_s: float, reports: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(user_hooks, "time", Clock(took_s))
    on_request, on_response = wrap_request("tag.py:Tag", _nothing), wrap_response("tag.py:Tag", _nothing)
    for _ in range(3):
        await on_request(exchange())
    assert caplog.text.count(f"slow: on_request of middleware 'tag.py:Tag' took {took_s:.1f} s") == reports
    await on_response(exchange(), Answer(status=200, headers=Headers()))
    assert ("slow: on_response of middleware" in caplog.text) == (reports > 0)


async def test_a_mistake_below_around_is_not_the_hooks() -> None:
    async def fail(_: Exchange | None = None) -> Answer:
        raise KeyError("ours")

    async def through(_: Exchange, proceed: Any) -> Answer:
        return await proceed()  # type: ignore[no-any-return]

    async def swallow(_: Exchange, proceed: Any) -> Answer:
        try:
            return await proceed()  # type: ignore[no-any-return]
        except KeyError:
            raise LookupError("theirs") from None

    with pytest.raises(KeyError, match="ours"):
        await wrap_around("tag", through)(exchange(), fail)
    with pytest.raises(ComponentFailed, match="around of middleware 'tag'"):
        await wrap_around("tag", swallow)(exchange(), fail)


async def test_a_refusal_is_not_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(*_: Any) -> Any:
        raise ProxyError("no", status=403)

    for call in (wrap_request("tag", refuse)(exchange()), wrap_around("tag", refuse)(exchange(), _nothing)):  # type: ignore[arg-type]
        with pytest.raises(ProxyError, match="no") as refused:
            await call
        assert not isinstance(refused.value, ComponentFailed)
    assert not caplog.records
