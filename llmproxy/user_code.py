"""Call code of users: check what it returns, name it when it fails, and keep its exceptions from the server.

Users write middlewares, providers and strategies. Whatever theirs raise (`SystemExit` too) or return, the client gets
an error of its dialect, the log names component and method, and the exchange ends. Classes of llmproxy itself pay for
none of this. Begin reading at `log_failure`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from pathlib import Path
from traceback import extract_tb
from types import NoneType, TracebackType

from multidict import CIMultiDict

from llmproxy.answer import Answer
from llmproxy.body import ByteStream
from llmproxy.dialects.summary import Summary
from llmproxy.errors import BrokenStream, ComponentFailed, ProxyError

_MORE = "The log of the proxy has the details"

# The rest of an Answer, which hooks rarely set.
_PARTS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("reason", (str,)),
    ("bodiless", (bool,)),
    ("error", (ProxyError, NoneType)),
    ("summary", (Summary, NoneType)),
)

log = logging.getLogger(__name__)

_PACKAGE = str(Path(__file__).parent)


def is_user_defined(component: type) -> bool:
    """Return whether the class is defined outside llmproxy."""
    return not component.__module__.startswith("llmproxy.")


def is_cancellation(error: BaseException) -> bool:
    """Return whether `error` cancels the current task; a hook may also raise CancelledError by itself."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def log_failure(who: str, exchange_id: str, error: BaseException | str) -> ComponentFailed:
    """Log that `who` ("on_request of middleware 'x'") failed, and return the error for the client.

    `error` is what it raised, or says what it did wrong. Raises it when it cancels the current task.
    """
    if isinstance(error, str):
        log.error("exchange %s: %s %s", exchange_id, who, error)
    elif is_cancellation(error):
        raise error
    else:
        log.error("exchange %s: %s failed with %s", exchange_id, who, type(error).__name__, exc_info=error)
    return ComponentFailed(f"Internal Server Error: {short_name(who)} failed. {_MORE}")


def short_name(who: str) -> str:
    """Return `who` for a client: of a class in a file only its name, as paths are nobody else's business."""
    before, quote, name = who.partition("'")
    return f"{before}{quote}{name.rpartition(':')[2]}" if ".py:" in name else who


def check_answer(answer: object, who: str, exchange_id: str) -> Answer:
    """Return `answer`, which `who` made or changed, its stream checked while it is read. Raises ComponentFailed."""
    if not isinstance(answer, Answer):
        raise log_failure(who, exchange_id, f"returned {_kind(answer)}, not an Answer")
    if fault := _fault(answer):
        if not _stream_fault(answer.stream):
            discard(answer)
        raise log_failure(who, exchange_id, fault)
    if answer.stream is not None and is_user_defined(type(answer.stream)):
        answer.stream = UserStream(answer.stream, who, exchange_id)
    return answer


async def begin_answer(answer: object, who: str, exchange_id: str) -> Answer:
    """Check `answer` and read the first bytes of a user's stream: until then its failure can be a 500."""
    checked = check_answer(answer, who, exchange_id)
    if isinstance(checked.stream, UserStream) and not checked.body:
        try:
            checked.body = await checked.stream.read_first()
        except BaseException:
            discard(checked)
            raise
    return checked


def discard(answer: object) -> None:
    """Close an answer that is not sent, whatever its stream raises."""
    if isinstance(answer, Answer):
        try:
            answer.close()
        except BaseException as error:
            log.error("an answer cannot be closed", exc_info=error)


def _fault(answer: Answer) -> str:
    """Return what is wrong with the parts of an answer, "" for nothing."""
    status, length = answer.status, answer.length
    if type(status) is not int or not 200 <= status <= 599:
        return f"made an Answer whose status is {status!r:.40}, not a number from 200 to 599"
    if not isinstance(answer.headers, CIMultiDict):
        return f"made an Answer whose headers are {_kind(answer.headers)}; write Headers({{...}}) of llmproxy.answer"
    for name, value in answer.headers.items():
        if not isinstance(value, str):
            return f"made an Answer whose header {name!r:.60} is {_kind(value)}, not a string"
    if not isinstance(answer.body, bytes):
        return f"made an Answer whose body is {_kind(answer.body)}, not bytes"
    if length is not None and (type(length) is not int or length < 0):
        return f"made an Answer whose length is {length!r:.40}, not a number of bytes"
    return _part_fault(answer) or _stream_fault(answer.stream)


def _part_fault(answer: Answer) -> str:
    for name, types in _PARTS:
        if not isinstance(value := getattr(answer, name), types):
            return f"made an Answer whose {name} is {_kind(value)}, not {types[0].__name__}"
    return ""


def _stream_fault(stream: object) -> str:
    if stream is None or all(callable(getattr(stream, name, None)) for name in ("read", "close")):
        return ""
    return f"made an Answer whose stream is {_kind(stream)}: it needs `async def read(self)` and `def close(self)`"


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


class UserStream:
    """A stream that a user wrote: what its `read` returns is checked, and its errors name it."""

    __slots__ = ("_exchange_id", "_stream", "_who")

    def __init__(self, stream: ByteStream, who: str, exchange_id: str) -> None:
        self._stream = stream
        self._who = f"the stream {type(stream).__name__} of the answer of {who}"
        self._exchange_id = exchange_id

    async def read(self) -> bytes:
        try:
            return await self.read_first()
        except ComponentFailed as error:
            raise BrokenStream(f"The answer ended too early: {short_name(self._who)} failed. {_MORE}") from error

    async def read_first(self) -> bytes:
        """Read while nothing of the answer is sent. Raises ComponentFailed."""
        try:
            data = await self._stream.read()
        except ProxyError:
            raise
        except BaseException as error:
            raise log_failure(self._who, self._exchange_id, error) from error
        if not isinstance(data, bytes):
            raise log_failure(self._who, self._exchange_id, f"returned {_kind(data)}, not bytes")
        return data

    def close(self) -> None:
        try:
            result: object = self._stream.close()  # type: ignore[func-returns-value]  # it may return anything
        except BaseException as error:
            log.error("exchange %s: %s cannot be closed", self._exchange_id, self._who, exc_info=error)
            return
        if inspect.iscoroutine(result):
            result.close()
            fault = "has an asynchronous close, which is never run: write `def`, not `async def`"
            log.error("exchange %s: %s %s", self._exchange_id, self._who, fault)


def line_of(error: BaseException, component: type | None = None, file: str | None = None) -> str:
    """Return file and line where a user's code raised `error`, as `/path/tag.py, line 7`; "" when that is not known.

    The innermost line of `file`, else of the file of `component`; else the innermost one outside of llmproxy.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}, line {error.lineno}"
    if component is not None and (module := sys.modules.get(component.__module__)):
        file = module.__file__ or file
    return line_in(error.__traceback__, file)


def line_in(trace: TracebackType | None, file: str | None) -> str:
    """Return the innermost line of `trace` in `file`, else the innermost one outside of llmproxy."""
    frames = [each for each in extract_tb(trace) if not each.filename.startswith(("<frozen ", _PACKAGE))]
    frames = [each for each in frames if each.filename == file] or frames
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
