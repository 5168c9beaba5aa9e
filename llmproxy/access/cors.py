"""Cross-origin resource sharing: which web pages may read our answers.

Source: fetch.spec.whatwg.org, HTTP extensions. A browser asks before most requests (preflight), without a key. Which
pages may *send* requests is decided in `exposure.py`. Begin reading at `Cors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from llmproxy.answer import Answer, Headers

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED = ("x-llmproxy-*", "x-request-id", "x-upstream-request-id", "retry-after", "x-ratelimit-*")
"""The headers that pages may read by default, beside those that browsers always show. Names may end with `*`."""

_PREFIX = "access-control-"
_EVERYBODY = "*"


class Cors:
    """The rules of one configuration.

    `allow_origins` are exact origins, or `*`; without any no page may read. `allow_headers` are the request headers
    that pages may send (`*` for all); `expose_headers` those of answers that they may read.
    """

    __slots__ = ("_credentials", "_everybody", "_expose", "_headers", "_max_age_s", "_origins")

    def __init__(
        self,
        *,
        allow_origins: Sequence[str] = (),
        allow_headers: Sequence[str] = (_EVERYBODY,),
        expose_headers: Sequence[str] = EXPOSED,
        max_age_s: float = 600.0,
        allow_credentials: bool = False,
    ) -> None:
        self._origins = frozenset(allow_origins)
        self._everybody = _EVERYBODY in self._origins
        self._headers = ", ".join(allow_headers)
        self._expose = tuple(name.lower() for name in expose_headers)
        self._max_age_s = max_age_s
        self._credentials = allow_credentials and not self._everybody

    def preflight(self, headers: Headers) -> Answer | None:
        """Return the answer to a preflight of an origin that is allowed; None for every other request."""
        origin, method = headers.get("Origin", ""), headers.get("Access-Control-Request-Method", "")
        if not method or not self._allows(origin):
            return None
        requested = ", ".join(headers.getall("Access-Control-Request-Headers", ()))
        allowed = requested if self._headers == _EVERYBODY else self._headers
        answer = Headers({"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": f"{self._max_age_s:.0f}"})
        if allowed:
            answer["Access-Control-Allow-Headers"] = allowed
        answer["Vary"] = "Access-Control-Request-Headers"
        return Answer(status=204, headers=answer)

    def apply(self, origin: str, answer: Answer) -> None:
        """Let the page at `origin` read `answer`, where that is allowed; a provider's own rules never count here."""
        headers = answer.headers
        for name in {name for name in headers if name.lower().startswith(_PREFIX) and not _is_ours(name)}:
            headers.popall(name)
        if not self._origins:
            return
        if not self._everybody:
            headers.add("Vary", "Origin")
        if not self._allows(origin):
            return
        headers["Access-Control-Allow-Origin"] = _EVERYBODY if self._everybody else origin
        if self._credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if exposed := self._exposed(headers):
            headers["Access-Control-Expose-Headers"] = ", ".join(exposed)

    def _allows(self, origin: str) -> bool:
        return bool(origin) and (self._everybody or origin.lower() in self._origins)

    def _exposed(self, headers: Headers) -> list[str]:
        """Return which headers of this answer pages may read: browsers know no patterns, and with credentials no `*`.
        `x-request-id` is added to every answer later."""
        names = dict.fromkeys((*(name.lower() for name in headers), "x-request-id"))
        return [name for name in names if any(fnmatchcase(name, pattern) for pattern in self._expose)]


def _is_ours(name: str) -> bool:
    """Return whether it is a header of our own answer to a preflight."""
    return name.lower() in ("access-control-allow-methods", "access-control-allow-headers", "access-control-max-age")
