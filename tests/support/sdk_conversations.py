"""The official SDKs behind one small interface, so that one test can be run with each of them.

An `SdkConversation` keeps its conversation in its vendor's own form and returns each answer as a `Turn`. Begin reading
there.
"""

from __future__ import annotations

import base64
import contextlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any

import anthropic
import boto3
import openai
from botocore.config import Config
from google import genai
from google.genai import types as genai_types

from tests.support.converse_types import gather

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}, "zone": {"type": "string"}}}
OPEN_API: dict[str, Any] = {
    "type": "OBJECT",
    "properties": {"city": {"type": "STRING", "nullable": True}, "zone": {"type": "STRING"}},
}
"""The same in Google's words."""
NAMES = ("weather", "clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer: its text, its tool calls (id, name, arguments), why it stopped, the tokens; None is unknown. `parts`
    of the tokens were read from a cache, written to one, and spent on reasoning; where a client cannot say, these are 0
    and the `total` is None."""

    text: str
    calls: list[tuple[str, str, Any]]
    stop: str | None
    tokens_in: int | None
    tokens_out: int | None
    parts: tuple[int, int, int] = (0, 0, 0)
    total: int | None = None


def _said(words: str, **more: Any) -> list[Any]:
    return [{**more, "content": words}] if words else []


def _parts(*counts: int | None) -> Any:
    return tuple(each or 0 for each in counts)


class SdkConversation(ABC):
    """One vendor's client with one conversation. `stops` are its words for an end and for tool calls, `cut` that for a
    limit of tokens, `names` those of its tools. An answer has `limit` tokens at most; `system` are
    the instructions in front of all, `more` are further parameters of each call."""

    dialect: str
    stops: tuple[str, str]
    cut: str
    names: tuple[str, ...] = NAMES
    client: Any

    def __init__(self, url: str) -> None:
        self.url = url
        self.history: list[Any] = []
        self.limit = 4000
        self.system = ""
        self.more: dict[str, Any] = {}

    @abstractmethod
    def say(self, words: str, *, image: bool = False) -> None:
        """Add what the user says, with a picture."""

    @abstractmethod
    def give(self, results: dict[str, str]) -> None:
        """Add the results of tool calls by their ids."""

    @abstractmethod
    def ask(self, model: str, *, stream: bool, tools: bool = False, schema: bool = False, think: bool = False) -> Turn:
        """Have the conversation answered, and add the answer to it."""


class Chat(SdkConversation):
    """OpenAI's client, chat completions."""

    dialect = "chat"
    stops = ("stop", "tool_calls")
    cut = "length"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=0)

    def say(self, words: str, *, image: bool = False) -> None:
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        content = [{"type": "text", "text": words}, picture] if image else words
        self.history.append({"role": "user", "content": content})

    def give(self, results: dict[str, str]) -> None:
        self.history += [{"role": "tool", "tool_call_id": call, "content": text} for call, text in results.items()]

    def ask(self, model: str, *, stream: bool, tools: bool = False, schema: bool = False, think: bool = False) -> Turn:
        more: dict[str, Any] = {}
        if tools:
            functions = [{"name": name, "description": f"The {name}", "parameters": PARAMETERS} for name in self.names]
            more["tools"] = [{"type": "function", "function": each} for each in functions]
        if schema:
            format_ = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
            more["response_format"] = format_
        if think:
            more["reasoning_effort"] = "medium"
        more["max_completion_tokens"] = self.limit
        request = {"model": model, "messages": [*_said(self.system, role="system"), *self.history], **more, **self.more}
        reply: Any = self._streamed(request) if stream else self.client.chat.completions.create(**request)
        message = reply.choices[0].message
        self.history.append(message.to_dict() | {"role": "assistant"})
        for call in self.history[-1].get("tool_calls") or ():
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        self.history[-1].pop("parsed", None)
        calls = [
            (each.id, each.function.name, json.loads(each.function.arguments)) for each in message.tool_calls or ()
        ]
        usage = reply.usage
        return Turn(
            text=message.content or "",
            calls=calls,
            stop=reply.choices[0].finish_reason,
            tokens_in=usage and usage.prompt_tokens,
            tokens_out=usage and usage.completion_tokens,
            parts=_openai_parts(usage and usage.prompt_tokens_details, usage and usage.completion_tokens_details),
            total=usage and usage.total_tokens,
        )

    def _streamed(self, request: Any) -> Any:
        try:
            with self.client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
                for _ in events:
                    pass
                return events.get_final_completion()
        except openai.LengthFinishReasonError as cut:
            return cut.completion


def _openai_parts(given: Any, answered: Any) -> tuple[int, int, int]:
    written = getattr(given, "cache_write_tokens", None)
    made: tuple[int, int, int] = _parts(given and given.cached_tokens, written, answered and answered.reasoning_tokens)
    return made


class Responses(SdkConversation):
    """OpenAI's client, responses, without state on the server."""

    dialect = "responses"
    stops = ("completed", "completed")
    cut = "incomplete"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=0)

    def say(self, words: str, *, image: bool = False) -> None:
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
        content = [{"type": "input_text", "text": words}, picture] if image else words
        self.history.append({"role": "user", "content": content})

    def give(self, results: dict[str, str]) -> None:
        self.history += [
            {"type": "function_call_output", "call_id": call, "output": text} for call, text in results.items()
        ]

    def ask(self, model: str, *, stream: bool, tools: bool = False, schema: bool = False, think: bool = False) -> Turn:
        more: dict[str, Any] = {"store": False}
        if tools:
            function = {"type": "function", "parameters": PARAMETERS, "strict": False}
            more["tools"] = [{**function, "name": name, "description": f"The {name}"} for name in self.names]
        if schema:
            more["text"] = {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}
        if think:
            more |= {"reasoning": {"effort": "medium"}, "include": ["reasoning.encrypted_content"]}
        request = {"model": model, "input": self.history, "max_output_tokens": self.limit, **more, **self.more}
        request |= {"instructions": self.system} if self.system else {}
        if stream:
            with self.client.responses.stream(**request) as events:
                last: Any = [*events][-1:]
                cut = last and last[0].type == "response.incomplete"  # which the helper does not take for an end
                reply: Any = last[0].response if cut else events.get_final_response()
        else:
            reply = self.client.responses.create(**request)
        self.history += [
            {name: value for name, value in item.to_dict().items() if name != "parsed_arguments"}
            for item in reply.output
        ]
        for item in self.history:
            for part in item.get("content") or () if item.get("type") == "message" else ():
                part.pop("parsed", None)
        calls = [
            (item.call_id, item.name, json.loads(item.arguments))
            for item in reply.output
            if item.type == "function_call"
        ]
        usage = reply.usage
        return Turn(
            text=reply.output_text,
            calls=calls,
            stop=reply.status,
            tokens_in=usage and usage.input_tokens,
            tokens_out=usage and usage.output_tokens,
            parts=_openai_parts(usage and usage.input_tokens_details, usage and usage.output_tokens_details),
            total=usage and usage.total_tokens,
        )


class Messages(SdkConversation):
    """Anthropic's client."""

    dialect = "messages"
    stops = ("end_turn", "tool_use")
    cut = "max_tokens"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client = anthropic.Anthropic(base_url=url, api_key="dummy", max_retries=0)

    def say(self, words: str, *, image: bool = False) -> None:
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        content = [{"type": "text", "text": words}, picture] if image else words
        self.history.append({"role": "user", "content": content})

    def give(self, results: dict[str, str]) -> None:
        content = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in results.items()]
        self.history.append({"role": "user", "content": content})

    def ask(self, model: str, *, stream: bool, tools: bool = False, schema: bool = False, think: bool = False) -> Turn:
        more: dict[str, Any] = {}
        if tools:
            more["tools"] = [
                {"name": name, "description": f"The {name}", "input_schema": PARAMETERS} for name in self.names
            ]
        if schema:
            more["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if think:
            more["thinking"] = {"type": "enabled", "budget_tokens": 2000}
        request = {"model": model, "max_tokens": self.limit, "messages": self.history, **more, **self.more}
        request |= {"system": self.system} if self.system else {}
        if stream:
            with self.client.messages.stream(**request) as events:
                for _ in events:
                    pass
                reply: Any = events.get_final_message()
        else:
            reply = self.client.messages.create(**request)
        content = [block.to_dict() for block in reply.content]
        for block in content:
            block.pop("parsed_output", None)
        self.history.append({"role": "assistant", "content": content})
        counted = reply.usage
        read, written = counted.cache_read_input_tokens or 0, counted.cache_creation_input_tokens or 0
        details = counted.output_tokens_details
        return Turn(
            text="".join(block.text for block in reply.content if block.type == "text"),
            calls=[(block.id, block.name, block.input) for block in reply.content if block.type == "tool_use"],
            stop=reply.stop_reason,
            tokens_in=counted.input_tokens + read + written,
            tokens_out=counted.output_tokens,
            parts=_parts(read, written, details and details.thinking_tokens),
        )


@cache
def _session() -> Any:
    """Return one session for all clients: each new one reads the service model again, which takes 0.3 s."""
    return boto3.session.Session(aws_access_key_id="AKIDDUMMY", aws_secret_access_key="dummy")


def bedrock(url: str) -> Any:
    """Return boto3's client with dummy credentials."""
    once = Config(retries={"total_max_attempts": 1}, read_timeout=60)
    return _session().client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=once)


class Converse(SdkConversation):
    """boto3's client."""

    dialect = "converse"
    stops = ("end_turn", "tool_use")
    cut = "max_tokens"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.bedrock = bedrock(url)
        self.client = contextlib.closing(self.bedrock)

    def say(self, words: str, *, image: bool = False) -> None:
        picture = {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}}
        self.history.append({"role": "user", "content": [{"text": words}, *([picture] if image else [])]})

    def give(self, results: dict[str, str]) -> None:
        forms: list[Any] = [
            [{"json": {"found": text}}] if place else [{"text": text}] for place, text in enumerate(results.values())
        ]
        content = [
            {"toolResult": {"toolUseId": call, "content": form}} for call, form in zip(results, forms, strict=True)
        ]
        self.history.append({"role": "user", "content": content})

    def ask(self, model: str, *, stream: bool, tools: bool = False, schema: bool = False, think: bool = False) -> Turn:
        more: dict[str, Any] = {"inferenceConfig": {"maxTokens": self.limit, **self.more}}
        if tools:
            specs = [
                {"name": name, "description": f"The {name}", "inputSchema": {"json": PARAMETERS}} for name in NAMES
            ]
            more["toolConfig"] = {"tools": [{"toolSpec": each} for each in specs]}
        if schema:
            definition = {"schema": json.dumps(SCHEMA), "name": "place"}
            form = {"type": "json_schema", "structure": {"jsonSchema": definition}}
            more["outputConfig"] = {"textFormat": form}
        if think:
            more["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
        request = {"modelId": model, "messages": self.history, **more}
        request |= {"system": [{"text": self.system}]} if self.system else {}
        if stream:
            with contextlib.closing(self.bedrock.converse_stream(**request)["stream"]) as events:
                reply = gather(events)
        else:
            reply = self.bedrock.converse(**request)
        message = reply["output"]["message"]
        self.history.append(message)
        calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        usage = reply["usage"]
        read, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
        return Turn(
            text="".join(block["text"] for block in message["content"] if "text" in block),
            calls=[(call["toolUseId"], call["name"], call["input"]) for call in calls],
            stop=reply["stopReason"],
            tokens_in=usage["inputTokens"] + read + written,
            tokens_out=usage["outputTokens"],
            parts=_parts(read, written, 0),
            total=usage["totalTokens"],
        )


class Gemini(SdkConversation):
    """google-genai's client."""

    dialect = "gemini"
    stops = ("STOP", "STOP")
    cut = "MAX_TOKENS"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.google = genai.Client(api_key="dummy", http_options={"base_url": url})
        self.client = contextlib.closing(self.google)

    def say(self, words: str, *, image: bool = False) -> None:
        picture = genai_types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
        parts = [genai_types.Part(text=words), *([picture] if image else [])]
        self._add("user", parts)

    def _add(self, role: str, parts: list[Any]) -> None:
        content = genai_types.Content(role=role, parts=parts)
        self.history.append(content.model_dump(mode="json", exclude_none=True))

    def _contents(self) -> list[Any]:
        return [genai_types.Content.model_validate_json(json.dumps(each)) for each in self.history]

    def give(self, results: dict[str, str]) -> None:
        made = [part.function_call for part in self._parts() if part.function_call]
        calls = {call.id or f"#{place}": call for place, call in enumerate(made)}
        parts = [
            genai_types.Part(
                function_response=genai_types.FunctionResponse(
                    id=calls[call].id, name=calls[call].name, response={"output": text}
                )
            )
            for call, text in results.items()
        ]
        self._add("user", parts)

    def _parts(self) -> list[Any]:
        return [part for content in self._contents() for part in content.parts]

    def ask(self, model: str, *, stream: bool, tools: bool = False, schema: bool = False, think: bool = False) -> Turn:
        config = genai_types.GenerateContentConfig(max_output_tokens=self.limit, system_instruction=self.system or None)
        if tools:
            forms: list[Any] = [{"parameters_json_schema": PARAMETERS}, {"parameters": OPEN_API}]
            functions = [
                genai_types.FunctionDeclaration(name=name, description=f"The {name}", **form)
                for name, form in zip(NAMES, forms, strict=True)
            ]
            config.tools = [genai_types.Tool(function_declarations=functions)]
        if schema:
            config.response_mime_type, config.response_json_schema = "application/json", SCHEMA
        if think:
            config.thinking_config = genai_types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)
        models = self.google.models
        chunks: list[Any]
        if stream:
            chunks = list(models.generate_content_stream(model=model, contents=self._contents(), config=config))
        else:
            chunks = [models.generate_content(model=model, contents=self._contents(), config=config)]
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts if part.text != ""]
        before = sum(1 for part in self._parts() if part.function_call)
        self._add("model", parts)
        usage = chunks[-1].usage_metadata or genai_types.GenerateContentResponseUsageMetadata()
        calls = [part.function_call for part in parts if part.function_call]
        return Turn(
            text="".join(part.text for part in parts if part.text and not part.thought),
            # Vertex names no ids: then calls are told apart by their places.
            calls=[(call.id or f"#{place}", call.name, call.args) for place, call in enumerate(calls, start=before)],
            stop=chunks[-1].candidates[0].finish_reason.value,
            tokens_in=usage.prompt_token_count or 0,
            tokens_out=(usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            parts=_parts(usage.cached_content_token_count, 0, usage.thoughts_token_count),
            total=usage.total_token_count,
        )


ASKERS: tuple[type[SdkConversation], ...] = (Chat, Responses, Messages, Converse, Gemini)
