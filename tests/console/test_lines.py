from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len

from llmproxy.answer import Headers
from llmproxy.console.lines import ExchangeEnded, ExchangeStarted, LinePrinter
from llmproxy.console.terminal import Console
from llmproxy.dialects.summary import Summary
from llmproxy.dialects.usage import Usage
from llmproxy.errors import UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.records.entry import entry_of
from llmproxy.redaction.secrets import secrets_of
from llmproxy.transcripts.preview import ExchangeBodies
from tests.support import vendors
from tests.support.exchanges import BEGAN_S, CHAT, ended, new_call


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the clock of the wall to UTC."""
    monkeypatch.setenv("TZ", "UTC")
    if os.name != "nt":
        time.tzset()
    yield
    monkeypatch.undo()
    if os.name != "nt":
        time.tzset()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def over(exchange: Exchange, talk: ExchangeBodies | None = None) -> ExchangeEnded:
    return ExchangeEnded(exchange.began_s, entry_of(exchange), secrets_of(exchange), talk, 0)


def printed(*events: ExchangeStarted | ExchangeEnded, terminal: bool = False, **shown: bool) -> list[str]:
    out = Terminal() if terminal else io.StringIO()
    lines = LinePrinter(Console(out, {}), **{"requests": True, "responses": True, "arrivals": False, **shown})
    for event in events:
        lines.write(event)
    lines.flush()
    return out.getvalue().splitlines()


def arrived(**changes: Any) -> ExchangeStarted:
    made: dict[str, Any] = {"began_s": BEGAN_S, "id": "5f" * 12, "method": "POST", "path": "/v1/chat/completions"}
    return ExchangeStarted(
        **made | {"model": "gpt-4o", "client": "10.0.0.9", "session": "s-1", "secrets": ()} | changes
    )


def test_an_exchange_is_one_line_with_the_time_of_its_end() -> None:
    exchange = ended(session="talk-1", stream=True, first_token_s=100.15, ended_s=101.5)
    assert printed(over(exchange)) == [
        "2023-11-14 22:13:21 POST /v1/chat/completions gpt-4o                   openai     200 "
        " 1.50s tokens 1200/85 first 150ms session talk-1"
    ]


def test_a_cost_stands_behind_the_tokens() -> None:
    [line] = printed(over(ended(cost_usd=0.0125)))
    assert line.endswith(" 200  250ms tokens 1200/85 cost $0.0125")
    [free] = printed(over(ended(cost_usd=0.0)))
    assert "cost" not in free


def test_columns_stay_where_they_are() -> None:
    lines = printed(
        over(ended()),
        over(ended(model="m", method="GET", full_path="/v1/x", ended_s=100.9, summary=Summary())),
        over(ended(stream=True, first_token_s=100.2)),
    )
    assert len({re.search(r" 200 +\S+s\b", line).end() for line in lines}) == 1  # type: ignore[union-attr]
    assert len({line.index("tokens") for line in lines if "tokens" in line}) == 1


def test_failures_say_what_went_wrong_after_how_many_attempts_and_their_id() -> None:
    attempts = [new_call(provider="a", model="m", error="upstream_timeout"), new_call(provider="b", model="m")]
    error = UpstreamError("took too long\nreally", code="upstream_timeout")
    [line] = printed(over(ended(calls=attempts, status=504, error=error, outcome="error", summary=Summary())))
    assert " b          504  250ms error upstream_timeout: took too long\\x0areally 2 attempts " in line
    assert line.endswith(" 2 attempts (id 5f5f5f5f)")


def on_terminal(width: int, **changes: Any) -> str:
    console = Console(Terminal(), {"NO_COLOR": "1"})
    setattr(console, "width", lambda: width)  # noqa: B010 (there is no terminal of this width here)
    lines = LinePrinter(console, requests=True, responses=True, arrivals=False)
    return lines._end(over(ended(stream=True, first_token_s=100.15, **changes)))


def test_on_a_terminal_a_line_is_never_wrapped_and_the_least_important_is_left_out_first() -> None:
    talk = {"session": "talk-1"}
    assert "POST" in on_terminal(160, **talk) and "first 150ms" in on_terminal(160, **talk)
    assert on_terminal(80, **talk) == "22:13:20 gpt-4o                  openai    200  250ms 1200/85 session talk-1"
    assert on_terminal(66, **talk) == "22:13:20 gpt-4o                  openai    200  250ms 1200/85"
    failed = {"status": 504, "error": UpstreamError("took too long " * 9, code="upstream_timeout"), "outcome": "error"}
    for width in (40, 60, 80, 100, 120, 200):
        for changes in ({}, failed, {"model": "m" * 300, "cost_usd": 0.5}, {"model": "通义千问🙂" * 9}):
            assert cell_len(on_terminal(width, **talk, **changes)) <= width
        assert width < 80 or re.search(r"504 +250ms error upstream_t", on_terminal(width, **failed))


def test_tokens_from_a_cache_fit_80_columns_beside_a_whole_model() -> None:
    usage = Usage(input=120_462, output=924, cache_read=118_750)
    summary = Summary(model="claude-opus-4-5-20251101", usage=usage)
    line = on_terminal(80, model="claude-opus-4-5-20251101", summary=summary, calls=[new_call(provider="anthropic")])
    assert line == "22:13:20 claude-opus-4-5-20251101 200  250ms 120.5k/924 (118.8k cached)"
    other = on_terminal(80, model="claude-haiku-4-5", summary=Summary(model="claude-haiku-4-5", usage=usage))
    assert other == "22:13:20 claude-haiku-4-5        openai    200  250ms 120.5k/924 (118.8k cached)"


def test_wide_characters_take_two_columns() -> None:
    plain, wide = (on_terminal(120, model=model, summary=Summary()) for model in ("gpt-4o", "通义千问🙂"))
    assert cell_len(plain) == cell_len(wide)


def test_without_a_model_a_narrow_terminal_shows_the_call() -> None:
    line = on_terminal(80, method="GET", full_path="/v1/models", model=None, calls=[], summary=Summary())
    assert "22:13:20 GET  /v1/models" in line


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"endpoint": None, "model": None, "calls": [], "status": 404, "summary": Summary()}, "            404  250ms"),
        ({"status": None, "outcome": "cancelled"}, " left "),
        ({"outcome": "cancelled"}, " 200 left "),
        ({"outcome": "broken", "error": UpstreamError("cut", code="upstream_stream_broken")}, " 200 broken "),
        ({"outcome": "incomplete"}, " 200 incomplete "),
        ({"model": "fast"}, " fast > gpt-4o "),
    ],
)
def test_whatever_happens_has_its_line(changes: dict[str, Any], expected: str) -> None:
    [line] = printed(over(ended(**changes)))
    assert expected in line


def test_a_terminal_gets_colours_and_no_date() -> None:
    good, bad, mine, left = printed(
        over(ended()),
        over(ended(status=502, error=UpstreamError("no"), outcome="error")),
        over(ended(status=429)),
        over(ended(status=None, outcome="cancelled")),
        terminal=True,
    )
    assert good.startswith("22:13:20 POST") and "\x1b[1m200\x1b[0m" in good
    assert "\x1b[31m502\x1b[0m" in bad and "\x1b[31merror upstream_error: no\x1b[0m" in bad
    assert "\x1b[35m429\x1b[0m" in mine and "\x1b[35mleft\x1b[0m" in left


def test_foreign_text_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\n\u202e"
    exchange = ended(
        model=evil, full_path=f"/{evil}", session=evil, summary=Summary(model=evil, error=evil), status=400
    )
    talk = ExchangeBodies(dialect=vendor_dialect(), secrets=(), request=ask(evil), response=[answer(evil)])
    lines = printed(over(exchange, talk), arrived(path=evil, model=evil, session=evil, client=evil))
    assert len(lines) == 4
    assert all(line.isprintable() and line.isascii() for line in lines)


def test_secrets_are_masked_everywhere_also_where_text_is_cut() -> None:
    key = "sk-" + "0123456789" * 5
    exchange = ended(
        headers=Headers({"Authorization": f"Bearer {key}"}),
        full_path=f"/v1/{'x' * 40}/{key}",
        model=f"m-{key}",
        session=key,
        status=401,
        summary=Summary(error=f"{'x' * 170} {key}"),
    )
    secrets = secrets_of(exchange)
    talk = ExchangeBodies(
        dialect=vendor_dialect(), secrets=secrets, request=ask(f"{'x' * 280} {key}"), response=[answer(key)]
    )
    early = arrived(path=f"/{'x' * 50}{key}", model=key, session=key, client=key, secrets=secrets)
    text = "\n".join(printed(over(exchange, talk), early))
    assert "sk-" not in text and "0123" not in text and text.count("request:") == 1


def test_the_conversation_stands_below_in_short() -> None:
    talk = ExchangeBodies(
        dialect=vendor_dialect(), secrets=(), request=ask("How  is\n\nit? " + "x" * 1000), response=[tools()]
    )
    _, asked, answered = printed(over(ended(), talk))
    assert asked.startswith("    request: How is it? xxx") and asked.endswith("…") and len(asked) < 320
    assert answered == "    answer:  [calls weather, clock]"


def test_one_half_alone() -> None:
    [asked] = printed(over(ended(session="s")), responses=False)
    assert re.fullmatch(r"\S+ \S+ POST /v1/chat/completions gpt-4o +session s", asked)
    [came] = printed(over(ended(session="s")), requests=False)
    assert (
        "POST" not in came and "session" not in came and re.search(r" gpt-4o +openai +200 +250ms tokens 1200/85", came)
    )


def test_ids_tell_which_end_belongs_to_which_arrival() -> None:
    first, last = printed(arrived(), over(ended()), arrivals=True)
    assert first == (
        "2023-11-14 22:13:20 POST /v1/chat/completions gpt-4o                   from 10.0.0.9 session s-1 (id 5f5f5f5f)"
    )
    assert last.endswith(" (id 5f5f5f5f)")
    assert printed(arrived(model=None, session=None))[0].endswith(" " * 25 + " from 10.0.0.9 (id 5f5f5f5f)")


def test_what_was_held_is_given_back_even_when_it_cannot_be_shown() -> None:
    lines = LinePrinter(Console(None, {}), requests=True, responses=True, arrivals=False)
    event = over(ended())
    event.held_bytes = 7
    lines.write(event)
    with pytest.raises(OSError, match="closed"):
        lines.flush()
    assert lines.printed_bytes == 7
    lines.close()


def vendor_dialect() -> Any:
    assert CHAT is not None
    return CHAT.dialect


def ask(text: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()


def answer(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def tools() -> bytes:
    return json.dumps(vendors.chat("m", True)).encode()
