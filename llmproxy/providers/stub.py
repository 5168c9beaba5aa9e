"""A provider for work without keys: a canned answer in every dialect, whole or streamed, with usage.

Its tokens are words (of the request, with a role as one of them, and of the answer), so that the figures are the same
on every run. It stands for a vendor, so it refuses what every vendor refuses, and has no files, batches or stored
responses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.dialect import Canned, Endpoint
from llmproxy.dialects.embeddings import write_vectors
from llmproxy.dialects.model import Usage
from llmproxy.errors import BadRequest
from llmproxy.providers.base import ConfiguredProvider, ProviderConfig, json_answer, stream_answer
from llmproxy.target import Target
from llmproxy.wire.json import write_value

PIECES = ("stub ", "response")


class Stub(ConfiguredProvider):
    """Answers `stub response` to everything that is a request."""

    def __init__(self, config: ProviderConfig) -> None:
        speaks = {"chat", "completions", "responses", "messages", "embeddings"}
        super().__init__(config, speaks, answers=("stub",), alone=True)

    def prepare(self, request: ClientRequest, target: Target) -> None:
        return None

    async def answer(self, request: ClientRequest, target: Target) -> Answer:
        endpoint = request.endpoint
        call = _CALLS.get(endpoint.path) if endpoint else None
        if endpoint is None or call is None or request.method != "POST":
            told = f"The stub has no {request.method} {request.path or '/'}; it answers {', '.join(_CALLS)}"
            raise BadRequest(told, status=404, code="not_found")
        body = request.held
        if not body.members:
            raise BadRequest("The body must be a JSON object that is not empty")
        needed = _NEEDED.get(endpoint.path)
        if needed and body.value(needed) is None:
            raise BadRequest(f"{needed} is missing", code="missing_parameter", param=needed)
        canned = Canned(
            id=request.id,
            model=target.model or request.model or "stub",
            created_s=int(request.began_s),
            pieces=PIECES,
            usage=Usage(input=_words(endpoint, body), output=len(PIECES)),
            include_usage=_wants_usage(body),
        )
        return call(endpoint, body, canned)


def _converse(endpoint: Endpoint, body: Body, canned: Canned) -> Answer:
    if body.value("stream") is True:
        return stream_answer(endpoint.dialect.write_stream(canned))
    return json_answer(endpoint.dialect.write_reply(canned))


def _embed(endpoint: Endpoint, body: Body, canned: Canned) -> Answer:
    return json_answer(write_vectors(canned, body.decoded))


def _count(endpoint: Endpoint, body: Body, canned: Canned) -> Answer:
    return json_answer(write_value({"input_tokens": canned.usage.input}))


_CALLS: Mapping[str, Callable[[Endpoint, Body, Canned], Answer]] = {
    "/chat/completions": _converse,
    "/completions": _converse,
    "/embeddings": _embed,
    "/messages": _converse,
    "/messages/count_tokens": _count,
    "/responses": _converse,
}
_NEEDED: Mapping[str, str] = {
    "/chat/completions": "messages",
    "/embeddings": "input",
    "/messages": "messages",
    "/messages/count_tokens": "messages",
}


def _words(endpoint: Endpoint, body: Body) -> int:
    text = endpoint.dialect.readers.request_text(body.decoded)
    if text is None:
        text = " ".join(_texts(body.value("prompt") or body.value("input")))
    return len(text.split())


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, int):
        yield str(value)  # a token that the client counted itself


def _wants_usage(body: Body) -> bool:
    options = body.value("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
