"""Hold the neutral vocabulary in which dialects meet: requests and replies that belong to no vendor. Streams
have theirs in `stream_events.py`, token counts in `usage.py`.

Each dialect decodes its wire form into these values and encodes them again (`codec.py`); `translation/` joins two of
them, `reply_events.py` turns streams into replies and back. A value keeps `path`, its JSON path in the client's body,
so that a refusal can name it, and `extra`, the members that only its own dialect understands (`extra.py`). Values are
msgspec structs, which are made in a fifth of a dataclass's time. Begin reading at `Request` and `Reply`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from llmproxy.dialects.usage import Usage

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
StopReason: TypeAlias = Literal[
    "end", "length", "tool_calls", "stop_sequence", "refusal", "content_filter", "pause", "context_window"
]


class Node(msgspec.Struct, kw_only=True):
    """Anything with a path. `extra` goes back only to the dialect it came from; others list it as dropped."""

    path: str = ""
    extra: dict[str, Any] = {}


class Nested(Node, kw_only=True):
    """`names` are the paths below `path` of members that have another name in their dialect than here."""

    names: dict[str, str] = {}

    def where(self, name: str) -> str:
        """Return the JSON path of a member."""
        return f"{self.path}.{self.names.get(name, name)}"


class Text(Node):
    """`annotations` are citations, see `Citation`. `cache` is a prompt-cache mark (`cache_control`), unchanged."""

    text: str
    annotations: list[Citation] = []
    logprobs: list[Any] | None = None
    cache: Any = None


PlaceKind: TypeAlias = Literal["characters", "pages", "chunks"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document of the request, which is the `document`th one, from 0. `end` does not belong to it."""

    kind: PlaceKind
    document: int
    start: int
    end: int


class Citation(Node):
    """Where a text comes from. Offsets are characters of the text that cites, `quote` is the cited text. `place` is a
    second reading of members in `extra`, for the dialects that have such places."""

    url: str | None = None
    title: str | None = None
    start: int | None = None
    end: int | None = None
    quote: str | None = None
    file_id: str | None = None
    place: Place | None = None


class Media(Nested, kw_only=True):
    """An image, a document or a sound: one of `data` (base64), `url`, `file_id` or, for plain documents, `text` is set.

    `detail` is the resolution at which a model reads an image (`low`, `high`, `auto`, `original`); `name` a title or
    file name.
    """

    kind: Literal["image", "document", "audio", "video"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None
    detail: str | None = None
    cache: Any = None


class ToolCall(Node):
    """`arguments` is JSON text as the model wrote it (which may be invalid), or any text when `custom`. `signature`
    must go back to the provider with the call, and no client of another dialect can carry it.

    `namespace` and `kind` are those of its `Tool`; `native` is the call as it stood where it is of a `kind`.
    """

    id: str
    name: str
    arguments: str
    custom: bool = False
    namespace: str | None = None
    kind: str | None = None
    native: dict[str, Any] | None = None
    signature: dict[str, Any] | None = None
    cache: Any = None


class ToolResult(Nested, kw_only=True):
    """The result of a tool call; stands in a message of role `user`. `native` is the result as it stood where its call
    is of a `kind`."""

    id: str
    content: list[Block]
    error: bool = False
    custom: bool = False
    native: dict[str, Any] | None = None
    cache: Any = None


class Thinking(Node):
    """Thinking of the model. `dialect` is where it was made: no other accepts it back.

    `signature` signs `text`; `encrypted` is thinking that only the provider can read, and with `redacted` there is
    nothing else. With `summary`, `text` is a summary. `id` is the provider's name for it. `field` is the member in
    which a service that signs nothing expects it back: clients of other dialects get its name as the signature, and so
    return it.
    """

    text: str
    dialect: str
    id: str | None = None
    signature: str | None = None
    encrypted: str | None = None
    redacted: bool = False
    summary: bool = False
    field: str | None = None


class Refusal(Node):
    """The words with which the model refuses to answer."""

    text: str


class Opaque(Node):
    """A block, item or tool that only `dialect` has, such as a built-in tool or its result: `value` as it stood.

    `kind` is its own type, for messages to people. `declares` says that it is no content: other dialects leave it out.
    `tools` are the functions that stand for it there, since the client runs them; `words` is the text that does.
    """

    dialect: str
    kind: str
    value: dict[str, Any]
    declares: bool = False
    tools: list[Tool] = []
    words: str | None = None


Block: TypeAlias = Text | Media | ToolCall | ToolResult | Thinking | Refusal | Opaque


class Message(Node):
    """One turn. `system` and `developer` messages stand here only where they come after others.

    Tool results stand in `user` messages; consecutive messages of one role stay apart, encoders join them where
    their dialect demands that.
    """

    role: Literal["user", "assistant", "system", "developer"]
    content: list[Block]
    name: str | None = None


class Instruction(Node):
    """One system block; `role` keeps `developer` and `system` apart."""

    content: list[Text]
    role: Literal["system", "developer"] = "system"


class Tool(Nested, kw_only=True):
    """A function of the client. `schema` is JSON Schema; a custom tool has none, its `grammar` (`syntax` and
    `definition`) limits its text.

    Names are unique within a `namespace`. `kind` is the type of a tool that the client's dialect calls otherwise than
    functions, and whose calls it must get back in that form.
    """

    name: str
    namespace: str | None = None
    kind: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    custom: bool = False
    grammar: dict[str, Any] | None = None
    cache: Any = None


class ToolChoice(Node):
    """Which tools must or may be called. The mode `tool` means the one called `name`; `allowed` are the only names that
    may be called. `opaque` is a choice of the dialect's own built-in tools, which no other dialect can make."""

    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None
    allowed: list[str] | None = None
    custom: bool = False
    opaque: dict[str, Any] | None = None


class Reasoning(Node):
    """How much the model should think. All None: the request does not say.

    `mode` is `on` with `budget_tokens`, `adaptive`, `off`, or None beside an effort alone. `summary` is how thinking
    should be shown: `auto`, `concise`, `detailed`, `omitted`.
    """

    mode: Literal["on", "adaptive", "off"] | None = None
    effort: Effort | None = None
    budget_tokens: int | None = None
    summary: str | None = None


class Format(Node):
    """The form of the answer: any JSON, or JSON of a schema."""

    kind: Literal["json", "schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Sampling(Node):
    """How tokens are chosen. `max_tokens` limits the answer, thinking included."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class Request(Node):
    """One request. `dialect` is the one it was decoded from.

    `knobs` are plain values at the top level that have one meaning in several dialects: `user`, `metadata` (a dict of
    strings), `service_tier`, `verbosity`, `prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options`,
    `moderation`, `safety_identifier`, `store`; encoders drop those that their dialect lacks. `paths` are the JSON paths
    of values of `knobs`, `sampling`, `reasoning`, `tool_choice`, `format` or `parallel_tools` that have another name
    here (`max_tokens`: `max_completion_tokens`; `effort`: `reasoning.effort`). `echo` is what a reply of the dialect
    repeats of its request. `found_tools` are tools that stand in messages, where they were added.
    """

    dialect: str
    model: str
    system: list[Instruction] = []
    messages: list[Message] = []
    tools: list[Tool | Opaque] = []
    found_tools: list[Tool | Opaque] = []
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = msgspec.field(default_factory=Sampling)
    reasoning: Reasoning = msgspec.field(default_factory=Reasoning)
    format: Format | None = None
    knobs: dict[str, Any] = {}
    cache: Any = None
    stream: bool = False
    include_usage: bool = True
    paths: dict[str, str] = {}
    echo: dict[str, Any] = {}

    def where(self, name: str) -> str:
        """Return the JSON path of a value, see `paths`."""
        return self.paths.get(name, name)


class Reply(Node):
    """A whole answer. `id` is the provider's; `stop_sequence` ended it; `dialect` is that of `extra`. `stop_word` is
    the provider's own word for `stop`."""

    id: str
    model: str
    content: list[Block]
    stop: StopReason
    dialect: str = ""
    stop_sequence: str | None = None
    stop_word: str | None = None
    usage: Usage | None = None
    created_s: int | None = None
    service_tier: str | None = None


def client_tools(request: Request) -> Iterator[Tool]:
    """Return the tools that the client runs itself, whatever their form."""
    for tool in (*request.tools, *request.found_tools):
        if isinstance(tool, Tool):
            yield tool
        else:
            yield from tool.tools


def has_content(block: Block) -> bool:
    """Return whether a block has content when it opens: texts may begin empty, everything else is content itself."""
    return bool(block.text) if isinstance(block, Text | Refusal | Thinking) else True
