"""The groups of checks against a running proxy: each sends real requests and judges the answers.

A group returns what it saw in words, or raises: `CheckFailed` for what must not be, `CheckSkipped` for what this proxy
does not have. Begin reading at `CHECKS`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from llmproxy.cli.check_live.live_client import LiveAnswer, LiveClient
from llmproxy.cli.client import PageError, as_text, object_at, objects_in
from llmproxy.console.formatting import format_duration, sanitize

CHAT = "/v1/chat/completions"
BALANCED_REQUESTS = 8
PARALLEL_REQUESTS = 10

_UNKNOWN_MODEL = "llmproxy-check-live-unknown"
_FRESH = (("Cache-Control", "no-cache"),)
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class CheckFailed(Exception):
    """The proxy did what it must not; the text says what."""


class CheckSkipped(Exception):
    """The proxy does not have what is checked; the text says what."""


Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """The result of one group of checks, in words in `detail`."""

    check: str
    result: Outcome
    took_ms: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveProxy:
    """The proxy to check, with the model to ask for. `admin_key` opens its own pages."""

    client: LiveClient
    model: str
    admin_key: str | None = None

    def chat(self, text: str = "", *, fresh: bool = True, **fields: object) -> LiveAnswer:
        """Send a short chat request, whose text is new unless one is given."""
        content = text or f"Reply with one word: ready. ({secrets.token_hex(4)})"
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], **fields}
        return self.client.post(CHAT, body, _FRESH if fresh else ())


def check_health(proxy: LiveProxy) -> str:
    """Read health, the list of models, and statistics."""
    page = _ok(proxy.client.get("/health"), "/health").json
    status = as_text(object_at(page).get("status"))
    faults = object_at(page).get("faults")
    _require(status == "ok", f"/health is {status!r}" + (f": {faults}" if faults else ""))
    models = objects_in(object_at(_ok(proxy.client.get("/v1/models"), "/v1/models").json).get("data"))
    stats = proxy.client.get("/stats", proxy.admin_key)
    _require(stats.status in (200, 401, 403), f"/stats: {_explain(stats)}")
    closed = "" if stats.status == 200 else ", /stats needs the admin key"
    return f"ok, {len(models)} model{'' if len(models) == 1 else 's'} listed{closed}"


def check_chat(proxy: LiveProxy) -> str:
    """Ask for an answer in one piece."""
    answer = _ok(proxy.chat(), "chat")
    text = _text(answer)
    _require(bool(text), "the answer has no text")
    usage = object_at(answer.json, "usage").get("total_tokens")
    return f"{_quote(text)}, {usage if isinstance(usage, int) else 'unknown'} tokens"


def check_stream(proxy: LiveProxy) -> str:
    """Ask for an answer as server-sent events."""
    answer = _ok(proxy.chat(stream=True), "stream")
    kind = answer.headers.get_content_type()
    _require(kind == "text/event-stream", f"the stream has the content type {kind!r}")
    text = _streamed_text(answer)
    _require(bool(text), "the stream has no text")
    return f"{_quote(text)}, {len(answer.events) - 1} events, the first after {format_duration(answer.first_ms)}"


def check_tools(proxy: LiveProxy) -> str:
    """Ask for a call of a tool, then for the answer to its result."""
    question = {"role": "user", "content": "What is the weather in Paris? Use the tool."}
    forced = {"type": "function", "function": {"name": "get_weather"}}
    answer = _ok(proxy.chat(messages=[question], tools=[_TOOL], tool_choice=forced), "the call of a tool")
    message = _message(answer)
    calls = objects_in(message.get("tool_calls"))
    if not calls:
        raise CheckSkipped(f"{proxy.model} answers with text although a call is forced")
    call = calls[0]
    _require(object_at(call, "function").get("name") == "get_weather", "the call names another tool")
    try:
        arguments = json.loads(as_text(object_at(call, "function").get("arguments")) or "")
    except ValueError:
        raise CheckFailed("the arguments of the call are not JSON") from None
    result = {"role": "tool", "tool_call_id": call.get("id"), "content": '{"celsius": 21}'}
    final = _ok(proxy.chat(messages=[question, message, result], tools=[_TOOL]), "the result of a tool")
    _require(bool(_text(final)), "the answer to the result has no text")
    return f"get_weather({sanitize(json.dumps(arguments), 60)}), then {_quote(_text(final))}"


def check_cache(proxy: LiveProxy) -> str:
    """Send the same request twice, in one piece and streamed; then one that must bypass the cache."""
    seen = []
    for stream in (False, True):
        name = "stream" if stream else "plain"
        text = f"Reply with one word: cached. ({secrets.token_hex(4)})"
        fields: dict[str, object] = {"temperature": 0, **({"stream": True} if stream else {})}
        first, second = (_ok(proxy.chat(text, fresh=False, **fields), name) for _ in range(2))
        state = first.headers.get("x-cache")
        if state is None:
            raise CheckSkipped("no cache is configured")
        if state == "bypass":
            raise CheckSkipped("the cache leaves out such requests")
        _require(state == "miss", f"{name}: a new request is a {state!r}")
        repeated = second.headers.get("x-cache")
        _require(repeated == "hit", f"{name}: the repeated request is a {repeated!r}")
        _require(first.body == second.body, f"{name}: the replay differs from the first answer")
        seen.append(f"{name} {format_duration(first.took_ms)}, replayed {format_duration(second.took_ms)}")
    bypassed = _ok(proxy.chat(text, fresh=False, temperature=0, cache={"no-cache": True}), "no-cache")
    state = bypassed.headers.get("x-cache")
    _require(state == "bypass", f"a request with no-cache is a {state!r}")
    return "; ".join(seen)


def check_errors(proxy: LiveProxy) -> str:
    """Send requests that must fail, each with a readable error and a request id."""
    seen = [f"not JSON {_refused(proxy.client.post(CHAT, b'{'), 'a body that is not JSON')}"]
    body = {"model": _UNKNOWN_MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    unknown = proxy.client.post(CHAT, body, _FRESH)
    if unknown.status == 200:
        seen.append("any model is answered")
    else:
        seen.append(f"unknown model {_refused(unknown, 'an unknown model')}")
    if proxy.client.key:
        wrong = proxy.client.post(CHAT, body, key=f"wrong-{secrets.token_hex(8)}")
        if wrong.status in (401, 403):
            seen.append(f"wrong key {_refused(wrong, 'a wrong key')}")
    return ", ".join(seen)


def check_balance(proxy: LiveProxy) -> str:
    """Send several requests, and count who answered them."""
    shares: Counter[str] = Counter()
    for _ in range(BALANCED_REQUESTS):
        answer = _ok(proxy.chat(), "chat")
        names = (answer.headers.get("x-llmproxy-provider"), answer.headers.get("x-llmproxy-model"))
        shares["/".join(name for name in names if name) or "unknown"] += 1
    if len(shares) == 1:
        raise CheckSkipped(f"{BALANCED_REQUESTS} requests, all answered by {next(iter(shares))}")
    return ", ".join(f"{name} {count}" for name, count in sorted(shares.items()))


def check_concurrency(proxy: LiveProxy) -> str:
    """Send several requests at the same time."""
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        answers = list(pool.map(lambda _: proxy.chat(), range(PARALLEL_REQUESTS)))
    failed = [answer for answer in answers if answer.status != 200]
    _require(not failed, f"{len(failed)} of {PARALLEL_REQUESTS} failed: {_explain(failed[0]) if failed else ''}")
    ids = {answer.request_id for answer in answers}
    _require(None not in ids and len(ids) == PARALLEL_REQUESTS, "their request ids are not distinct")
    times_ms = sorted(answer.took_ms for answer in answers)
    return f"{PARALLEL_REQUESTS} at once, {format_duration(times_ms[0])} to {format_duration(times_ms[-1])}"


CHECKS: Mapping[str, Callable[[LiveProxy], str]] = {
    "health": check_health,
    "chat": check_chat,
    "stream": check_stream,
    "tools": check_tools,
    "cache": check_cache,
    "errors": check_errors,
    "balance": check_balance,
    "concurrency": check_concurrency,
}
QUICK = ("health", "chat", "stream", "errors")


def run_check(name: str, proxy: LiveProxy) -> LiveResult:
    """Run the group `name` of CHECKS."""
    began_s = time.perf_counter()
    result: Outcome = "passed"
    try:
        detail = CHECKS[name](proxy)
    except CheckSkipped as reason:
        result, detail = "skipped", str(reason)
    except (CheckFailed, PageError) as reason:
        result, detail = "failed", str(reason)
    took_ms = round((time.perf_counter() - began_s) * 1000, 1)
    return LiveResult(check=name, result=result, took_ms=took_ms, detail=detail)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckFailed(sanitize(message, 500))


def _ok(answer: LiveAnswer, what: str) -> LiveAnswer:
    _require(answer.status == 200, f"{what}: {_explain(answer)}")
    _require(answer.request_id is not None, f"{what}: the answer has no x-request-id")
    return answer


def _refused(answer: LiveAnswer, what: str) -> int:
    """Return the status of an answer that must be a client's error, in the shape of its API."""
    _require(400 <= answer.status < 500, f"{what}: status {answer.status} in place of a client's error")
    _require(bool(_error_text(answer)), f"{what}: the error has no message")
    _require(answer.request_id is not None, f"{what}: the error has no x-request-id")
    return answer.status


def _explain(answer: LiveAnswer) -> str:
    return f"status {answer.status} {_error_text(answer)}".strip()


def _error_text(answer: LiveAnswer) -> str:
    return as_text(object_at(answer.json, "error").get("message")) or ""


def _message(answer: LiveAnswer) -> Mapping[str, Any]:
    choices = objects_in(object_at(answer.json).get("choices"))
    _require(bool(choices), "the answer has no choices")
    return object_at(choices[0], "message")


def _text(answer: LiveAnswer) -> str:
    return as_text(_message(answer).get("content")) or ""


def _streamed_text(answer: LiveAnswer) -> str:
    events = answer.events
    _require(bool(events) and events[-1] == "[DONE]", "the stream does not end with [DONE]")
    pieces = []
    for event in events[:-1]:
        try:
            chunk = json.loads(event)
        except ValueError:
            raise CheckFailed(f"an event of the stream is not JSON: {sanitize(event, 80)}") from None
        _require(not object_at(chunk, "error"), f"the stream broke: {object_at(chunk, 'error').get('message')}")
        for choice in objects_in(object_at(chunk).get("choices")):
            pieces.append(as_text(object_at(choice, "delta").get("content")) or "")
    return "".join(pieces)


def _quote(text: str) -> str:
    return f'"{sanitize(text.strip(), 40)}"'
