"""Sends requests to a running proxy as any client would, and times the answers.

Error answers are answers here. Begin reading at `LiveClient.post`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

from llmproxy.cli.client import PageError, explain_unreachable, opener_for, pieces_of

_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAnswer:
    """An answer, error or not. Times are in milliseconds from the start of the request, the first of them until the
    first byte of the body."""

    status: int
    headers: Message
    body: bytes
    first_ms: float
    took_ms: float

    @property
    def json(self) -> Any:
        """Return the body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def events(self) -> list[str]:
        """Return the data of each server-sent event of one line."""
        lines = self.body.decode("utf-8", "replace").splitlines()
        return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")


class LiveClient:
    """A client of the proxy at `url`, a base address, with the client key `key`. Safe to use in several threads."""

    def __init__(self, url: str, key: str | None, timeout_s: float) -> None:
        self.url = url
        self.key = key
        self._timeout_s = timeout_s

    def get(self, path: str, key: str | None = None) -> LiveAnswer:
        """Return the answer to a GET. Raises PageError when there is none."""
        return self._send(Request(self.url + path), self._headers(key))

    def post(
        self, path: str, body: object, headers: Iterable[tuple[str, str]] = (), key: str | None = None
    ) -> LiveAnswer:
        """Return the answer to a POST of `body`, as JSON unless it is bytes. Raises PageError when there is none."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Content-Type": "application/json", **self._headers(key), **dict(headers)}
        return self._send(Request(self.url + path, data=data, method="POST"), own)

    def _headers(self, key: str | None) -> Mapping[str, str]:
        key = key or self.key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _send(self, request: Request, headers: Mapping[str, str]) -> LiveAnswer:
        for name, value in headers.items():  # keys are for this server, and not for one that it redirects to
            request.add_unredirected_header(name, value)
        began_s = time.perf_counter()
        try:
            try:
                answer = opener_for(self.url).open(request, timeout=self._timeout_s)
            except HTTPError as error:
                answer = error
            with answer:
                pieces = pieces_of(answer, self._timeout_s, _MAX_BYTES)
                body = next(pieces, b"")
                first_ms = _since_ms(began_s)
                body += b"".join(pieces)
                _require_whole(body, answer.headers.get("Content-Length"))
        except URLError as error:
            raise PageError(explain_unreachable(self.url, error.reason, self._timeout_s)) from error
        except (OSError, HTTPException, ValueError) as error:
            raise PageError(explain_unreachable(self.url, error, self._timeout_s)) from error
        return LiveAnswer(
            status=answer.status,
            headers=answer.headers,
            body=body,
            first_ms=first_ms,
            took_ms=_since_ms(began_s),
        )


def _require_whole(body: bytes, length: str | None) -> None:
    """Raise HTTPException for a body that was cut off: the library does so only for one in chunks."""
    if length is not None and len(body) < int(length):
        raise IncompleteRead(body, int(length) - len(body))


def _since_ms(began_s: float) -> float:
    return (time.perf_counter() - began_s) * 1000
