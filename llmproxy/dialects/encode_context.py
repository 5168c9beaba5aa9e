"""What the functions share that encode one request or answer: the losses so far, options of the target, and whether
the values come from the dialect that is written. Begin reading at `EncodeContext`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import msgspec

from llmproxy.dialects.cache_marks import (
    BREAKPOINT,
    CONTROL,
    as_breakpoint,
    as_control,
    marked_at_end,
    name_of_mark,
    path_of_mark,
)
from llmproxy.dialects.extra import paths_of, put_back
from llmproxy.dialects.model import Block, Media, Node, Opaque, Request, Text, Tool, ToolCall, ToolResult
from llmproxy.dialects.openai_models import EffortRows, takes_breakpoints
from llmproxy.errors import Untranslatable

RefusedRows: TypeAlias = tuple[tuple[str, frozenset[str]], ...]
"""Names of members that a service refuses, by patterns of its models' names."""

MAX_LOSSES = 1000
"""How many losses are listed: a large body may lose something in each of a million messages."""

MAX_PATH_LENGTH = 100
"""How much of the path of a loss is listed: a client may call a member anything."""


class NeedsAllMessages(Exception):
    """Raised where a request holds only its last messages, and what is written depends on those before."""


class Adaptation(NamedTuple):
    """Why a model refuses a value, and what is sent instead, empty for nothing."""

    why: str
    sent: str


@dataclass(slots=True)
class Losses:
    """The losses of a translation.

    `dropped` are JSON paths in the client's request (`temperature`, `messages[2].name`), or, for replies, what the
    client's dialect has no place for (`reply.thinking`). After MAX_LOSSES of them stands "...". With `strict` the first
    loss is refused. `adapted` has, for those that the target's model is known to refuse, what is done about it.
    `cache_marks` counts the prompt-cache marks that were added.
    """

    strict: bool = False
    dropped: list[str] = field(default_factory=list)
    adapted: dict[str, Adaptation] = field(default_factory=dict)
    cache_marks: int = 0
    _seen: set[str] = field(default_factory=set)

    def drop(self, path: str) -> None:
        """List a value that the target lacks. Raises Untranslatable when `strict`. Names in `path` may be the client's
        or the provider's own: what is listed is cut."""
        if len(path) > MAX_PATH_LENGTH:
            path = path[: MAX_PATH_LENGTH - 3] + "..."
        if self.strict:
            raise Untranslatable(
                f"{path} cannot be carried to this model's provider, and translation is strict here", param=path
            )
        if path not in self._seen and len(self._seen) <= MAX_LOSSES:
            self._seen.add(path)
            self.dropped.append(path if len(self._seen) <= MAX_LOSSES else "...")

    def adapt(self, path: str, why: str, sent: str = "") -> None:
        """List a value that the model refuses. `why` says what it refuses; `sent` is sent instead, if anything.

        Raises Untranslatable when `strict`.
        """
        if self.strict:
            raise Untranslatable(f"{path}: {why}, and translation is strict here", param=path)
        self.drop(path)
        if len(self.adapted) <= MAX_LOSSES:
            self.adapted.setdefault(path, Adaptation(why, sent))

    def drop_extra(self, node: Node) -> None:
        """List what only the dialect of `node` understands."""
        for path in paths_of(node.extra, node.path) if node.extra else ():
            self.drop(path)

    def add(self, dropped: Sequence[str], adapted: Mapping[str, Adaptation]) -> None:
        """List what was listed before, of which nothing is listed here yet."""
        self._seen.update(dropped)
        self.dropped += dropped
        self.adapted |= adapted

    def refuse(self, path: str, why: str) -> NoReturn:
        """Raise a 400 for content that the target cannot carry. `why` is a sentence that begins with what stands at
        `path`, such as "Audio cannot be sent to a Messages API"."""
        raise Untranslatable(f"{path}: {why}", param=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is known of a target beyond its dialect.

    `default_max_tokens` is sent where the dialect demands a limit and the client has none; None: the longest answer of
    the model, up to 32,000. `structured_output` is
    `tool` where a service has none of its own: the answer is then requested as the arguments of a tool. `media_urls`
    says that the service fetches images and documents by URL, where its dialect can name them so. `max_tokens_name` is
    the name of the limit at a chat service: `max_completion_tokens` is OpenAI's name and `max_tokens` its older one,
    the only one that many compatible services accept. `developer` says whether a chat service accepts messages of
    that role; otherwise they are written as `system`. `chat_knobs` are the members of OpenAI's chat, beside sampling
    and tools, that a chat service accepts (None: all of them), `chat_thinking` the fields in which it accepts thinking
    back. Strict services answer others with a 400; `strict_members` says that this one does. `chat_refuses` are the
    members of sampling and of messages (`name`), and `stream_options`, that a chat service refuses for a model.
    `seed_name` is its name for `seed`, `tiers` are its service tiers by our words. With `thinking_switch` a chat
    service has no effort `none` and turns thinking off otherwise, and cannot force a tool while it thinks.
    `document_url` says that a chat service takes documents as `document_url` and sounds as base64 alone, `video` that
    it takes videos. `cache_breakpoints` says that the service has prompt-cache marks, for the models that know them.
    `system_turns` says whether system messages may stand among the
    others, None that the model decides; where they may not, they are sent as the user's. `prefill` is what happens to a
    last message of the assistant where the model refuses it: `continue` puts a message of the user behind it, `refuse`
    answers 400, `auto` continues for clients whose dialect cannot mean it as the beginning of the answer. `efforts` are
    those that a service accepts by patterns of its models' names, where `openai_models.py` says otherwise or nothing.
    `prompt_cache` says when prompt-cache marks are added, see `messages/cache_marks.py`.
    `custom_tools` says that a chat service knows tools of that type, and a choice among some tools; otherwise they are
    functions with one argument, and the others are left out.
    `short_call_ids` says that a chat service wants ids of calls of nine letters or digits.
    """

    default_max_tokens: int | None = None
    structured_output: Literal["native", "tool"] = "native"
    media_urls: bool = True
    max_tokens_name: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    developer: bool = True
    chat_knobs: frozenset[str] | None = None
    chat_thinking: frozenset[str] = frozenset(("reasoning_content", "reasoning"))
    system_turns: bool | None = None
    prefill: Literal["auto", "refuse", "continue"] = "auto"
    efforts: EffortRows = ()
    prompt_cache: Literal["auto", "always", "off"] = "off"
    custom_tools: bool = False
    short_call_ids: bool = False
    strict_members: bool = False
    chat_refuses: RefusedRows = ()
    seed_name: Literal["seed", "random_seed"] = "seed"
    tiers: Mapping[str, str] | None = None
    thinking_switch: bool = False
    document_url: bool = False
    video: bool = True
    cache_breakpoints: bool = False


DEFAULT_OPTIONS = Options()


class EncodeContext(msgspec.Struct, frozen=True, kw_only=True):
    """One encoding. With `own` the values come from the dialect that is written, and go back as they stood.
    `continued` says that the messages follow others, which end with the user and are encoded already. With `piece`
    only the encoded messages are used, and everything else of the result is thrown away.

    A msgspec struct, as one is made for each answer: 0.2 µs instead of 0.8 for a dataclass.
    """

    losses: Losses
    options: Options = DEFAULT_OPTIONS
    own: bool = False
    continued: bool = False
    piece: bool = False

    def need_all_messages(self) -> None:
        """Raise NeedsAllMessages where the messages follow others, and what is written depends on those."""
        if self.continued and not self.piece:
            raise NeedsAllMessages

    @property
    def takes_custom(self) -> bool:
        """Return whether a chat service gets custom tools as such."""
        return self.own or self.options.custom_tools

    def drop(self, path: str) -> None:
        """See `Losses.drop`."""
        self.losses.drop(path)

    def adapt(self, path: str, why: str, sent: str = "") -> None:
        """See `Losses.adapt`."""
        self.losses.adapt(path, why, sent)

    def refuse(self, path: str, why: str) -> NoReturn:
        """See `Losses.refuse`."""
        self.losses.refuse(path, why)

    def refuse_built_in(self, tool: Opaque, api: str) -> NoReturn:
        """Refuse a tool of another dialect, or content that its provider keeps, which `api` does not have."""
        self.refuse(tool.path, f"{tool.kind!r} is built into another API and does not exist in {api}")

    def file_id_of(self, media: Media) -> str:
        """Return the id of an uploaded file. Raises BadRequest for a path, as Google has them."""
        file_id = media.file_id or ""
        if "/" in file_id and not self.own:
            self.refuse(media.path, f"The file {file_id[:60]!r} of another provider cannot be read here")
        return file_id

    def put_extra(self, body: dict[str, Any], node: Node) -> None:
        """Put what only the dialect of `node` understands back into `body`, or list it as dropped."""
        if not node.extra:
            return
        if self.own:
            put_back(body, node.extra)
        else:
            self.losses.drop_extra(node)

    def drop_extra(self, node: Node) -> None:
        """List what only another dialect understands of a value that is not written."""
        if not self.own:
            self.losses.drop_extra(node)

    def for_model(self, model: str) -> EncodeContext:
        """Return this context, without what the service has for other models only."""
        if not self.options.cache_breakpoints or takes_breakpoints(model):
            return self
        return msgspec.structs.replace(self, options=replace(self.options, cache_breakpoints=False))

    def drop_cache(self, node: Text | Media | ToolCall | ToolResult | Tool | Request) -> None:
        """List a prompt-cache mark."""
        if node.cache is not None:
            self.losses.drop(path_of_mark(node.cache, node.path))

    def put_cache(self, body: dict[str, Any], node: Text | Media | ToolCall | ToolResult | Tool | Request) -> None:
        """Put a prompt-cache mark into `body`, in the form that OpenAI has for texts and media, or list it as dropped.
        An extension of gateways goes back as it stood."""
        if node.cache is None:
            return
        if self.own:
            body[name_of_mark(node.cache)] = node.cache
        elif self.options.cache_breakpoints and isinstance(node, Text | Media):
            body[BREAKPOINT], ttl = as_breakpoint(node.cache)
            if ttl is not None:
                self.adapt(f"{path_of_mark(node.cache, node.path)}.ttl", f"there is none of {ttl}", "30m")
        else:
            self.drop_cache(node)

    def put_cache_control(
        self, body: dict[str, Any], node: Text | Media | ToolCall | ToolResult | Tool | Request
    ) -> None:
        """Put a prompt-cache mark into `body`, in the form of a Messages API."""
        if node.cache is None:
            return
        body[CONTROL], ttl = as_control(node.cache)
        if ttl is not None:
            self.adapt(
                f"{path_of_mark(node.cache, node.path)}.ttl", f"there is none of {ttl}", body[CONTROL].get("ttl", "5m")
            )

    def mark_content(self, result: ToolResult) -> list[Block]:
        """Return the content of a result for an API whose marks stand on texts and media alone: a mark of the result
        stands on the last of them, or is listed as dropped."""
        marked = marked_at_end(result.content, result.cache) if self.options.cache_breakpoints else None
        if marked is None:
            self.drop_cache(result)
            return result.content
        return marked

    def drop_annotations(self, text: Text) -> None:
        """List the citations of a text that is sent without them."""
        for citation in text.annotations:
            self.losses.drop(citation.path or f"{text.path}.annotations")

    def refuse_unshared(self, request: Request) -> None:
        """Refuse what no second dialect has: several choices (`n`), spoken answers, a choice of built-in tools.

        For requests of another dialect than the one that is written.
        """
        if self.own:
            return
        if request.extra:
            self._refuse_extra(request)
        choice = request.tool_choice
        if choice is not None and choice.opaque is not None and choice.mode == "required" and not choice.allowed:
            kind = str(choice.opaque.get("type"))[:50]
            self.refuse(choice.path, f"A choice of type {kind!r} names tools that only the client's own dialect has")

    def _refuse_extra(self, request: Request) -> None:
        if _unshared(request, "n", 1) != 1:
            self.refuse(
                request.where("n"),
                "Only a provider of the client's own dialect can answer with several choices. Send 1",
            )
        modalities = _unshared(request, "modalities", None)
        spoken = "A spoken answer can only come from a provider of the client's own dialect"
        if isinstance(modalities, list) and any([str(each).lower() == "audio" for each in modalities]):
            self.refuse(request.where("modalities"), spoken)
        if "audio" in request.extra:
            self.refuse("audio", spoken)


def _unshared(request: Request, name: str, default: object) -> object:
    """Return a value that only the dialect of a request has, wherever it stands there."""
    value: Any = request.extra
    for step in request.where(name).split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return default if value is None else value
