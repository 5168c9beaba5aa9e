"""The errors that the proxy itself answers with.

A `ProxyError` has an HTTP status, a stable machine-readable code and whether another target may be tried. The dialect
writes it for a client (`dialects/dialect.py`); this module knows neither HTTP framing nor vendors.
"""

from __future__ import annotations

from collections.abc import Sequence

BUDGET_EXCEEDED = "budget_exceeded"
"""The code of a request beyond a budget: repeating it is of no use."""


class ProxyError(Exception):
    """An error that the proxy answers with.

    `status` is the HTTP status, `code` a stable snake_case word, `retryable` says whether another target (or the
    client, later) may succeed, `headers` are added to the answer. `param` names the request field with the
    mistake, if there is one.
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
    """The request cannot be served: 400, or another 4xx in `status`."""

    def __init__(
        self, message: str, *, status: int = 400, code: str = "invalid_request", param: str | None = None
    ) -> None:
        super().__init__(message, status=status, code=code, param=param)


def http_only(what: str) -> BadRequest:
    """Return the 426 for a WebSocket that is not served, at which clients go on over HTTP."""
    error = BadRequest(f"{what}. Use HTTP", status=426, code="upgrade_not_supported")
    error.headers = (("Upgrade", "HTTP/1.1"),)
    return error


def method_not_allowed(method: str, path: str, methods: Sequence[str]) -> ProxyError:
    """Return the 405 for a `method` that `path` does not have; `methods` are those that it has."""
    allowed = [*methods, "HEAD"] if "GET" in methods and "HEAD" not in methods else methods
    error = BadRequest(
        f"{method[:20]} is not allowed at {path}. Use {' or '.join(each for each in methods if each != 'HEAD')}",
        status=405,
        code="method_not_allowed",
    )
    error.headers = (("Allow", ", ".join(allowed)),)
    return error


class Unauthenticated(ProxyError):
    """The client did not show who it is: 401. The message is the same whatever was wrong, and no middleware gets the
    exchange, which anybody can make."""

    def __init__(self) -> None:
        super().__init__(
            "The API key is missing or not valid",
            status=401,
            code="invalid_api_key",
            headers=(("WWW-Authenticate", "Bearer"),),
        )


class ComponentFailed(ProxyError):
    """A middleware, provider or strategy of a user failed, or returned what it must not: 500. The log says why."""


class Untranslatable(BadRequest):
    """The target does not support the field at `param`, a JSON path of the request; another target may."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message, code="untranslatable", param=param)
        self.retryable = True


class UpstreamError(ProxyError):
    """The provider could not be reached, or ended the connection: 502, or 504 after a timeout.

    `replayable` means that no byte of an answer arrived on a connection from the pool, so that the same request may be
    sent once more to the same provider.
    """

    def __init__(
        self, message: str, *, status: int = 502, code: str = "upstream_error", replayable: bool = False
    ) -> None:
        super().__init__(message, status=status, code=code, retryable=True)
        self.replayable = replayable


class BrokenStream(UpstreamError):
    """The body of an answer ended before it was complete.

    `frames` report the error to the client, if the writer of the stream has already encoded them.
    """

    def __init__(
        self, message: str, *, status: int = 502, code: str = "upstream_stream_broken", frames: bytes = b""
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.frames = frames


class Overloaded(ProxyError):
    """The proxy has reached `server.max_held_bytes`, or is stopping: 503 with `Retry-After`."""

    def __init__(self, message: str, *, code: str = "overloaded", retry_after_s: int = 1) -> None:
        super().__init__(message, status=503, code=code, headers=(("Retry-After", str(retry_after_s)),))


def forget_frames(error: BaseException | None) -> None:
    """Drop the frames through which `error`, and the errors that led to it, were raised.

    An error that is kept refers to all that those frames held, the bodies of its exchange among it, and they to it: the
    memory would stay until the garbage collector looks at old objects.
    """
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
