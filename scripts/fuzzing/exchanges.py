"""One request to a program and what came of it, and what is wrong with that.

`ask` sends and reads strictly; `judge` knows what was asked and what the upstream sent. Begin reading at `judge`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Literal

from llmproxy.wire.eventstream import MessageSplitter
from scripts.fuzzing.findings import Finding
from scripts.fuzzing.programs import Served
from tests.support.raw_http import Cut, RawAnswer
from tests.support.sdk_streams import StreamError, accumulate, check_reply

End = Literal["whole", "cut", "none", "left"]
# What ends an answer in one of the dialects, message_stop as base64 too: without it, nothing that was sent was whole.
_ENDS = re.compile(
    rb"\[DONE\]|message_stop|messageStop|metadata|\"(?:stop_reason|finish_reason|finishReason|stopReason)\":\s*[^n\s]"
    rb"|blockReason|response\.(?:completed|incomplete|failed)|bWVzc2FnZV9zdG9w|1lc3NhZ2Vfc3RvcC|tZXNzYWdlX3N0b3"
)
_ERRORS = re.compile(rb"error|exception-type")
_SHOWN = 1500


@dataclass(slots=True, kw_only=True)
class Sent:
    """What the upstream answers: `status` and `body` as the framing has them, whether the body is `whole`, and whether
    it is `streamed`. Not `certain` means that the framing itself is odd, so that nobody knows. `calls` counts how often
    it was asked.
    """

    body: bytes = b""
    whole: bool = True
    streamed: bool = False
    status: int = 200
    certain: bool = True
    calls: int = 0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The answer and its end: `whole`, `cut` (`body` is what came), `none` without a head, or the client `left`."""

    end: End
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def value(self, name: str) -> str:
        """Return a header; empty when there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def streamed(self) -> bool:
        return self.value("content-type").startswith(("text/event-stream", "application/vnd.amazon.eventstream"))


def ask(
    served: Served, path: str, body: bytes, *headers: str, id_: str, leave_after: int | None = None, reuse: bool = False
) -> Outcome:
    """Send a request and read its answer; with `leave_after` only so many chunks or bytes of it.

    With `reuse`, another request on the connection must be answered too.
    """
    served.asked.add(id_)
    headers = headers if leave_after is None else ("Connection: close", *headers)
    fields = ("Content-Type: application/json", f"x-request-id: {id_}", "anthropic-version: 2023-06-01", *headers)
    try:
        with served.client() as client:
            client.request("POST", path, *fields, body=body)
            if leave_after is not None:  # as the connection ends behind the answer, this does too
                client.read_exactly(leave_after)
                return Outcome(end="left")
            head = client.read_head()
            try:
                answer = client.read_body(head, "POST")
            except Cut as cut:
                return Outcome(end="cut", status=head.status, headers=head.headers, body=cut.got)
            if reuse and answer.value("connection") != "close" and answer.framing != "eof":
                client.request("GET", "/health")
                if client.read_answer("GET").status != 200:
                    raise Finding("invalid", "the connection did not serve /health after the answer")
    except Cut:
        return Outcome(end="left" if leave_after is not None else "none")
    except TimeoutError:
        raise Finding("hang", f"no end of {path} within the time") from None
    except (AssertionError, ValueError, IndexError) as error:
        raise Finding("invalid", f"not HTTP: {error!r}") from error
    return _outcome(answer)


def _outcome(answer: RawAnswer) -> Outcome:
    return Outcome(end="whole", status=answer.status, headers=answer.headers, body=answer.body)


def judge(dialect: str, target: str, outcome: Outcome, sent: Sent, *, odd: bool = False) -> None:
    """Raise what is wrong with the outcome of a request in `dialect`, whose target speaks `target`.

    The answer to an `odd` request may repeat what the client itself sent.
    """
    if outcome.status == 500 and b"Internal Server Error" in outcome.body:
        raise Finding("500", outcome.body.decode("utf-8", "replace")[:_SHOWN])
    if outcome.end != "whole":
        if outcome.end == "none":
            raise Finding("invalid", "the connection ended without an answer")
        return
    if outcome.value("x-cache") == "hit":
        return
    if dialect == target or (target == "invoke" and dialect == "messages"):
        if target != "invoke" or not (outcome.streamed or outcome.status >= 400):  # else in another form
            _check_relayed(outcome, sent)
    elif outcome.status < 400:
        _check_translated(dialect, outcome, sent, odd=odd)
    else:
        _check_error(dialect, outcome)


def _check_relayed(outcome: Outcome, sent: Sent) -> None:
    """Check that a relayed answer is what the provider sent: all of it, or its beginning and an error event."""
    if not sent.calls or not sent.certain or outcome.status != sent.status or outcome.status in (204, 304):
        return
    if sent.whole:
        if outcome.body != sent.body:
            raise Finding("invalid", f"a relayed answer was changed: {_shown(outcome, sent)}")
    elif not (outcome.streamed and (_ERRORS.search(outcome.body[len(sent.body) :]) or _ENDS.search(sent.body))):
        raise Finding("false end", _shown(outcome, sent))


def _check_translated(dialect: str, outcome: Outcome, sent: Sent, *, odd: bool) -> None:
    """Check that the vendor's SDK reads it; a stream whose original had no end has none either."""
    try:
        if outcome.streamed:
            (_read_stream if odd else accumulate)(dialect, outcome.body, named=False)
        elif not odd:
            check_reply(dialect, json.loads(outcome.body))
        else:
            assert isinstance(json.loads(outcome.body), dict)
    except StreamError:
        return
    except Exception as error:  # whatever pydantic and the SDK raise
        pieces = {"messages": b"input_json_delta", "converse": b'"toolUse":{"input"'}.get(dialect, b"\0")
        if isinstance(error, ValueError) and pieces in outcome.body:
            return  # pieces of arguments are passed on as they come, and are read as they come
        raise Finding("invalid", f"{error!r:.600}\n{_shown(outcome, sent)}") from error
    if sent.calls and sent.certain and not (_ENDS.search(sent.body) if sent.streamed else sent.whole):
        raise Finding("false end", _shown(outcome, sent))


def _read_stream(dialect: str, body: bytes, *, named: bool) -> None:
    """Fail for what is no stream of JSON events with an end."""
    if dialect == "converse":
        MessageSplitter().feed(body)
        return
    assert body.endswith(b"\n\n"), body[-100:]
    data = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    for each in data:
        assert each == b"[DONE]" or isinstance(json.loads(each), dict), each
    assert _ENDS.search(body) or b'"error"' in data[-1], data[-1]


def _check_error(dialect: str, outcome: Outcome) -> None:
    try:
        value = json.loads(outcome.body)
        if dialect == "converse":
            assert value["message"] and outcome.value("x-amzn-errortype")
            return
        error = value["error"]
        assert error["message"] and error["status" if dialect == "gemini" else "type"]
        assert dialect != "messages" or value["type"] == "error"
    except Exception as wrong:
        raise Finding(
            "invalid", f"an error that is none of {dialect}: {outcome.status} {outcome.body!r:.600}"
        ) from wrong


def _shown(outcome: Outcome, sent: Sent) -> str:
    return (
        f"{outcome.status} to the client: {outcome.body[-_SHOWN:]!r}\n"
        f"upstream sent {'all of' if sent.whole else 'and broke off'}: {sent.body[-_SHOWN:]!r}"
    )
