"""The base class of custom providers with chat completions: one class, one method, a dict in and a dict out.

    class Mine(CompletionProvider):
        async def create_completion(self, request):
            return {"choices": [{"message": {"content": "Hello"}}]}

Fields that the official SDKs require are added when the dict lacks them, and a client that requests a stream gets one.
For more than chat, or for HTTP, write a `Provider` or an `HttpProvider`.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from llmproxy.answer import Answer
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.chat import DIALECT
from llmproxy.errors import BadRequest, ProxyError, UpstreamError
from llmproxy.providers.base import ConfiguredProvider, ProviderConfig
from llmproxy.providers.own_answers import json_answer, stream_answer
from llmproxy.target import Target
from llmproxy.user_code import is_cancellation
from llmproxy.wire.json import read_value, write_value
from llmproxy.wire.sse import write_frame

log = logging.getLogger(__name__)

Json = dict[str, Any]


class CompletionProvider(ConfiguredProvider):
    """Override `create_completion`; `start` and `close` too when there is something to open.

    Settings of your own go into a nested `Config(ProviderConfig)` and arrive as `self.config`. Without `models` in
    the configuration it answers `name/model`, and everything when it is the only provider.
    """

    class Config(ProviderConfig):
        """No settings of its own."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, {DIALECT.name}, answers=(), alone=True)
        self.config = config

    @abstractmethod
    async def create_completion(self, request: Json) -> Json:
        """Answer one chat completion request.

        `request` is the client's, with the target's name of the model. Return at least `choices`, each with a
        `message`; add `usage` only when the provider reports it. Raise ProxyError to choose the error for the client;
        any other exception becomes a 502. The call is cancelled when the client leaves.
        """

    def prepare(self, request: ClientRequest, target: Target) -> None:
        return None

    async def answer(self, request: ClientRequest, target: Target) -> Answer:
        if request.endpoint is None or request.endpoint.path != DIALECT.paths[0] or request.method != "POST":
            message = f"Not found: {request.method} {request.path or '/'}. {self.name} answers POST {DIALECT.paths[0]}"
            raise BadRequest(message, status=404, code="not_found")
        body = read_value(request.held.decoded)
        if not isinstance(body, dict):
            raise BadRequest("The body must be a JSON object")
        model = target.model or request.model
        if model is not None:
            body["model"] = model
        completion = self._fill_in(await self._create(body), request, model)
        try:
            if body.get("stream") is True:
                return stream_answer(list(_frames(completion, DIALECT.reshape.counts_usage(body))))
            return json_answer(write_value(completion))
        except (TypeError, ValueError) as error:
            raise self._failure(f"returned a value that JSON cannot represent: {error}") from error

    async def _create(self, request: Json) -> Json:
        """Call `create_completion`. It is custom code, so every exception is caught."""
        try:
            outcome: object = await self.create_completion(request)
        except ProxyError:
            raise
        except BaseException as error:
            if is_cancellation(error):
                raise
            log.error("provider %r: create_completion failed", self.name, exc_info=error)
            raise self._failure(f"failed with {type(error).__name__}") from error
        if not isinstance(outcome, dict):
            raise self._failure(f"returned {type(outcome).__name__}, not a dict")
        return outcome

    def _fill_in(self, completion: Json, request: ClientRequest, model: str | None) -> Json:
        """Add the fields that SDKs require and the completion lacks."""
        choices = completion.get("choices")
        if not isinstance(choices, list) or not all(map(_has_message, choices)):
            raise self._failure("returned no list of choices with a message each")
        return {
            "id": f"chatcmpl-{request.id}",
            "object": "chat.completion",
            "created": int(request.began_s),
            "model": model or self.name,
            **{key: value for key, value in completion.items() if value is not None},
            "choices": [_choice(index, each) for index, each in enumerate(choices)],
        }

    def _failure(self, what: str) -> UpstreamError:
        return UpstreamError(f"{type(self).__name__} of provider {self.name!r} {what}", code="provider_failed")


def _has_message(choice: object) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict)


def _choice(index: int, choice: Json) -> Json:
    message = choice["message"]
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "index": index,
        "logprobs": None,
        **choice,
        "message": {"role": "assistant", "content": None, **message},
        "finish_reason": choice.get("finish_reason") or reason,
    }


def _frames(completion: Json, include_usage: bool) -> Iterator[bytes]:
    """Yield the completion as a stream: of each choice its role, content, other members and end, then the usage."""
    usage = completion.pop("usage", None)
    choices = completion.pop("choices")
    head = completion | {"object": "chat.completion.chunk"}
    for choice in choices:
        for delta in _deltas(choice["message"]):
            part = {"index": choice["index"], "delta": delta, "finish_reason": None}
            yield _frame(head | {"choices": [part]})
        end = {key: value for key, value in choice.items() if key != "message"}
        yield _frame(head | {"choices": [{**end, "delta": {}}]})
    if include_usage and usage is not None:
        yield _frame(head | {"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _deltas(message: Json) -> Iterator[Json]:
    rest = dict(message)
    calls = rest.pop("tool_calls", None) or []
    yield {"role": rest.pop("role"), "content": ""}
    if content := rest.pop("content"):
        yield {"content": content}
    if rest:
        yield rest
    for index, call in enumerate(calls):
        yield {"tool_calls": [{"index": index, "type": "function", **call}]}


def _frame(chunk: Json) -> bytes:
    return write_frame(write_value(chunk))
