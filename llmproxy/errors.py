"""The one family of errors that the proxy itself answers with.

A `ProxyError` knows its HTTP status, a stable machine-readable code and whether another target may be tried. How it
looks to a client is the dialect's business (`dialects/dialect.py`); this module knows neither HTTP framing nor vendors.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Something the proxy answers by itself.

    `status` is the HTTP status, `code` a stable snake_case word, `retryable` says whether another target (or the
    client, later) may succeed, `headers` are added to the answer. `param` names the request member that is at fault,
    if one is.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 500,
        code: str = "internal_error",
        retryable: bool = False,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.retryable = retryable
        self.param = param
        self.headers = headers


class BadRequest(ProxyError):
    """The client's request cannot be served as it stands: 400, or the 4xx that `status` gives."""

    def __init__(
        self, message: str, *, status: int = 400, code: str = "invalid_request", param: str | None = None
    ) -> None:
        super().__init__(message, status=status, code=code, param=param)


class Untranslatable(BadRequest):
    """The target cannot carry what stands at `param`, a JSON path of the client's request; another target may."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message, code="untranslatable", param=param)
        self.retryable = True


class UpstreamError(ProxyError):
    """The provider could not be reached, or broke off: 502, or 504 when it took too long.

    `replayable` says that nothing of an answer had arrived on a connection that was taken from the pool, so that the
    same request may be sent once more to the same place.
    """

    def __init__(
        self, message: str, *, status: int = 502, code: str = "upstream_error", replayable: bool = False
    ) -> None:
        super().__init__(message, status=status, code=code, retryable=True)
        self.replayable = replayable


class BrokenStream(UpstreamError):
    """The body of an answer ended before it was complete.

    `frames` are what tells the client so, where whoever wrote the stream has written them too.
    """

    def __init__(
        self, message: str, *, status: int = 502, code: str = "upstream_stream_broken", frames: bytes = b""
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.frames = frames


class Overloaded(ProxyError):
    """The proxy holds as much as it may (`server.max_held_bytes`), or is stopping: 503 with `Retry-After`."""

    def __init__(self, message: str, *, code: str = "overloaded", retry_after_s: int = 1) -> None:
        super().__init__(message, status=503, code=code, headers=(("Retry-After", str(retry_after_s)),))
