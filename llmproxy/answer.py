"""What goes back to a client: status, headers, body. Made by a provider, a middleware or an error."""

from __future__ import annotations

from dataclasses import dataclass

from multidict import CIMultiDict

from llmproxy.body import ByteStream
from llmproxy.errors import ProxyError

Headers = CIMultiDict[str]


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back to the client.

    `body` holds what is already here; `stream` the rest, None when `body` is everything. `headers` are end-to-end
    headers without framing; on_response hooks may change them. `length` is the declared size of the whole body, None
    when unknown. `error` is set when the answer is ours because something failed. `bodiless` marks answers that carry
    no body whatever their headers say (HEAD, 204, 304); `length` is then what they declare.
    """

    status: int
    headers: Headers
    body: bytes = b""
    stream: ByteStream | None = None
    length: int | None = None
    reason: str = ""
    bodiless: bool = False
    error: ProxyError | None = None

    @property
    def event_stream(self) -> bool:
        """Whether the body is server-sent events."""
        return self.headers.get("Content-Type", "")[:17].lower() == "text/event-stream"

    def close(self) -> None:
        """The rest of the body is not wanted."""
        if self.stream is not None:
            self.stream.close()
