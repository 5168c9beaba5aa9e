"""Conditions on targets (`when:`): which requests a target takes.

What a request holds is found out once, and only where a condition asks for it. Begin reading at `fitting`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from llmproxy.body import Body
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.derived import neutral_request
from llmproxy.dialects.model import Media, Message, Request, ToolResult
from llmproxy.errors import BadRequest
from llmproxy.route import Route
from llmproxy.target import Condition, Target

BYTES_PER_TOKEN = 4
_LARGE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContent:
    """The content of a request, as far as conditions ask."""

    has_images: bool = False
    has_tools: bool = False


async def fitting(route: Route, request: ClientRequest) -> Sequence[Target]:
    """Return the targets of the route that take `request`. Raises BadRequest when there are none."""
    content = RequestContent()
    if any(_asks_for_content(target.when) for target in route.targets):
        body = request.body
        if isinstance(body, Body):
            large = len(body.raw) > _LARGE_BYTES  # reading 64 KB of ordinary turns takes 0.6 ms
            content = await asyncio.to_thread(_read, request, body) if large else _read(request, body)
    targets = [target for target in route.targets if target.when is None or meets(target.when, request, content)]
    if not targets:
        message = f"No target of the model {route.name!r} takes this request: none of their conditions (`when`) fits"
        raise BadRequest(message, code="no_target_fits", param="model")
    return targets


def meets(when: Condition, request: ClientRequest, content: RequestContent) -> bool:
    """Return whether a request with such content meets every part of a condition."""
    if when.has_images not in (None, content.has_images) or when.has_tools not in (None, content.has_tools):
        return False
    if when.min_tokens is not None or when.max_tokens is not None:
        tokens = estimated_tokens(request)
        if not (when.min_tokens or 0) <= tokens <= (tokens if when.max_tokens is None else when.max_tokens):
            return False
    headers = request.headers
    if not all(fnmatchcase(headers.get(name, ""), pattern) for name, pattern in when.headers if name in headers):
        return False
    if any(name not in headers for name, _ in when.headers):
        return False
    key = request.client.name or ""
    return not when.keys or any(fnmatchcase(key, pattern) for pattern in when.keys)


def estimated_tokens(request: ClientRequest) -> int:
    """Return about how many tokens a request has, by its length."""
    return len(request.body.raw) // BYTES_PER_TOKEN if isinstance(request.body, Body) else 0


def _asks_for_content(when: Condition | None) -> bool:
    return when is not None and (when.has_images is not None or when.has_tools is not None)


def _read(request: ClientRequest, body: Body) -> RequestContent:
    codec = None if request.endpoint is None else request.endpoint.dialect.codec
    try:
        read = None if codec is None else neutral_request(codec, body.decoded)
    except BadRequest:
        read = None
    return (
        RequestContent() if read is None else RequestContent(has_images=_has_images(read), has_tools=bool(read.tools))
    )


def _has_images(request: Request) -> bool:
    return any(_holds_image(message) for message in request.messages)


def _holds_image(message: Message) -> bool:
    blocks = list(message.content)
    blocks += [inner for block in message.content if isinstance(block, ToolResult) for inner in block.content]
    return any(isinstance(block, Media) and block.kind == "image" for block in blocks)
