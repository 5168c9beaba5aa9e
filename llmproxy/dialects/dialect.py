"""A wire language as the rest of the program sees it: a value of facts and functions.

A dialect is named after its API (`chat`, `responses`, `messages`), not after a company. `catalog.py` lists them all,
`codec.py` says what one needs for being translated, `derived.py` makes the functions of `Readers` and `Reshape` from
its codec. Begin reading at `Dialect`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote

from llmproxy.dialects.call_form import CallForm, filled
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.embedding_codec import EmbeddingCodec, FindEmbeddingCodec
from llmproxy.dialects.history import NO_HISTORY, History
from llmproxy.dialects.limit_headers import LimitStatus, write_limit_headers
from llmproxy.dialects.limit_readings import LimitReading, read_usual_limits
from llmproxy.dialects.model_list import ModelPages
from llmproxy.dialects.reshape import Reshape
from llmproxy.dialects.sealed_thinking import SealedThinking
from llmproxy.dialects.socket_calls import SocketCalls
from llmproxy.dialects.summary import Summary, Watch
from llmproxy.errors import ProxyError
from llmproxy.wire.framing import Framing
from llmproxy.wire.sse import SSE

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values of headers."""
_OVERLOADED = 529


class Summarize(Protocol):
    """Read a whole plain answer (identity-coded); its text too when `text` is set. An unreadable one gives an empty
    Summary, never an exception."""

    def __call__(self, body: bytes, *, text: bool = False) -> Summary: ...


class NewWatch(Protocol):
    """Make an observer for one stream."""

    def __call__(self, *, text: bool = False) -> Watch: ...


def no_headers(error: ProxyError) -> Pairs:
    """Return no headers: for dialects whose errors stand in the body alone."""
    return ()


def whole_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `body`: for calls whose body is a request itself."""
    return body


def own_dialect(body: Mapping[str, Any]) -> None:
    """Return None: for calls whose body holds a request of their own dialect."""


def no_history(body: Mapping[str, Any]) -> History:
    """Return the empty history: for calls without a conversation."""
    return NO_HISTORY


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readers:
    """Functions that read requests and answers of one dialect without translating them.

    `request_text` gives the conversation of a request body as plain text, a line per message, None when it cannot be
    read. `history` reads the messages of a request from its decoded JSON object. `turns` is the member with the list
    that grows from turn to turn, None where there is none; `history_by_item` says that its history is that of its
    items, one after the other.
    """

    summarize: Summarize
    watch: NewWatch
    request_text: Callable[[bytes], str | None]
    history: Callable[[Mapping[str, Any]], History] = no_history
    turns: str | None = None
    history_by_item: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenCount:
    """The call of a dialect that counts the input tokens of a request: one of its `paths`, and the JSON body of its
    answer. `request_in` returns the request that stands in the decoded body of the call; it raises BadRequest where
    there is none that can be read. `dialect_in` names the dialect of that request, None for this one."""

    path: str
    write: Callable[[int], bytes]
    request_in: Callable[[Mapping[str, Any]], Mapping[str, Any]] = whole_body
    dialect_in: Callable[[Mapping[str, Any]], str | None] = own_dialect


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schemas:
    """JSON Schemas of a dialect's main call, for the description of the API: an empty one says nothing. `example` is a
    request without its model, where no codec can write one."""

    request: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dialect:
    """One wire language. Stateless; one value serves everything.

    `paths` are the unversioned paths of its POST calls that carry a model and are answered in this dialect, e.g.
    `/chat/completions`; the first is the call that is translated. A path may hold `{model}`; otherwise the model is the
    top-level member `model` of the body. Where streams have another path, `stream_paths` are those, in the
    order of `paths`; otherwise by the top-level member `stream`. `framing` is how streams are cut into frames that this
    dialect writes, and all streams unless there is an `other_framing`: then those alone whose query has the field
    `stream_query`. Clients put `version` in front of its paths; those below one of the `versions` are of this dialect
    even where nobody knows them, and with `below_projects` those below a project of its vendor's cloud.
    `holds_bodies` says that its vendor's requests are signed, so that all bodies are held.
    `other_calls` (methods, path) name something that was created before, or nothing, and are relayed. `significant` are
    the request headers, in lower case, on which an answer depends, `own_headers` the beginnings of those that only this
    dialect's providers understand. `markers` are headers that tell its clients from others on paths that several
    dialects share, `models` how it writes the list of models there.

    `forms` are other forms in which clouds have calls of this dialect. A form whose streams have other frames is a
    dialect too: `base` names the one that it is a form of, and `form` says which.

    `embeddings` are its calls that ask for embeddings, and what finds their form; `embedding_codecs` are those forms in
    which providers of this dialect are asked for them.

    `token_count` is the call that counts the tokens of a request, `sockets` its WebSockets; None without one.

    `overloaded` is the status with which its vendor says that it is overloaded: 503, or 529 where that is known.
    `write_error` gives the JSON body of an error of ours, `error_headers` the headers beside it, `write_error_event`
    the whole frames that tell a client of a started stream that it failed. `error_statuses` are the statuses of errors
    by their codes, where clients would misread the usual one. `limit_headers` writes what is left of limits, at a time
    of the wall clock; `read_limits` reads what its vendor says of its own, from headers whose names are in lower case.
    `codec` is None for a dialect that is only
    relayed, `sealed` for one without sealed thinking. `stateful` says that answers are stored by their ids and
    continued by later requests. `key_variable` is where its SDKs find their key. `client_only` says that no provider
    speaks it, so that every call is translated, and `needs_authorization` that a call without a header Authorization is
    refused. `schemas` are for the description of the API.
    """

    name: str
    paths: tuple[str, ...]
    write_error: Callable[[ProxyError, str], bytes]
    write_error_event: Callable[[ProxyError, str], bytes]
    readers: Readers
    reshape: Reshape
    codec: Codec | None = None
    sealed: SealedThinking | None = None
    error_headers: Callable[[ProxyError], Pairs] = no_headers
    error_statuses: Mapping[str, int] = field(default_factory=dict)
    limit_headers: Callable[[Sequence[LimitStatus], float], Pairs] = write_limit_headers
    read_limits: Callable[[Mapping[str, str], float], Sequence[LimitReading]] = read_usual_limits
    framing: Framing = SSE
    other_framing: Framing | None = None
    stream_query: str | None = None
    versions: tuple[str, ...] = ()
    below_projects: bool = False
    holds_bodies: bool = False
    version: str = "/v1"
    stream_paths: tuple[str, ...] = ()
    other_calls: tuple[tuple[str, str], ...] = ()
    forms: tuple[CallForm, ...] = ()
    base: str = ""
    form: CallForm | None = None
    significant: tuple[str, ...] = ()
    own_headers: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    models: ModelPages | None = None
    token_count: TokenCount | None = None
    embeddings: Mapping[str, FindEmbeddingCodec] = field(default_factory=dict)
    embedding_codecs: tuple[EmbeddingCodec, ...] = ()
    sockets: SocketCalls | None = None
    stateful: bool = False
    overloaded: int = 503
    key_variable: str = "API_KEY"
    client_only: bool = False
    needs_authorization: bool = False
    schemas: Schemas = field(default_factory=Schemas)

    def relayed(self, path: str, template: str) -> Endpoint:
        """Return a call that is not in the list of this dialect, such as one of our own pages."""
        return Endpoint(dialect=self, capability=self.name, path=path, own_path=path, template=template, model=False)

    def path_of(self, call: str, *, stream: bool) -> str:
        """Return the path of `call`, one of `paths`, for an answer that is streamed or not."""
        paths = dict(zip(self.paths, self.stream_paths, strict=False)) if stream else {}
        return paths.get(call, call)

    def status_of(self, error: ProxyError) -> int:
        """Return the status of an answer with `error`: its own, unless this dialect's vendor does not know that."""
        return self.overloaded if error.status == _OVERLOADED else self.error_statuses.get(error.code, error.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call that clients make, wherever its path stands (under `/v1`, bare, or below a provider's prefix).

    `capability` is the word a provider must list to serve it: a dialect's name, or `rest_calls.REST`. `path` names the
    call, unversioned, streamed or not; `own_path` is where it stands, another one for streams of some dialects.
    Parameters stand in braces. `model` says whether a request names a model, so that its body is held and read;
    `model_in` finds it in the path, where the dialect keeps it there. `streams` says whether the path asks for a
    stream, None where the body does. `template` is the path in metrics. `form` is the form of the call where it is
    not the dialect's own. `takes_forms` says that its body may be a multipart form, of which a field names the model.
    `socket` is set for a WebSocket.
    """

    dialect: Dialect
    capability: str
    path: str
    own_path: str
    template: str
    model: bool = True
    streams: bool | None = None
    model_in: re.Pattern[str] | None = None
    form: CallForm | None = None
    takes_forms: bool = False
    socket: SocketCalls | None = None

    @property
    def translatable(self) -> bool:
        """Return whether a provider of another dialect can answer this call, through translation."""
        dialect = self.dialect
        return dialect.codec is not None and self.capability == dialect.name and self.path == dialect.paths[0]

    @property
    def untranslated(self) -> bool:
        """Return whether this call names a model of a dialect that can be translated, but has no translation itself:
        it counts tokens, or compacts a conversation."""
        dialect = self.dialect
        own = dialect.codec is not None and self.model and self.capability == dialect.name
        return own and self.path != dialect.paths[0]

    def served_by(self, speaks: Container[str]) -> bool:
        """Return whether a provider that speaks `speaks` serves this call without translation, in whatever form."""
        return self.capability in speaks or self.dialect.base in speaks

    def model_of(self, path: str) -> str | None:
        """Return the model that a client's `path` names; None where the body names it."""
        match = self.model_in.search(path) if self.model_in is not None else None
        if match is None:
            return None
        model, maker = unquote(match["model"]), "" if self.form is None else self.form.maker
        named = unquote(match["maker"]) if maker else maker
        return model if named == maker else f"{named}/{model}"

    def path_for(self, model: str) -> str:
        """Return the unversioned path that calls `model`."""
        return filled(self.own_path, model, "" if self.form is None else self.form.maker)

    def renamed(self, path: str, model: str) -> str:
        """Return a client's `path` with `model` in the place of the one that it names."""
        match = self.model_in.search(path) if self.model_in is not None else None
        if match is None or self.model_of(path) == model:
            return path
        return path[: match.start()] + self.path_for(model) + path[match.end() :]

    def framing_for(self, query: str | None) -> Framing:
        """Return how streams are cut into frames that answer a request with that query."""
        dialect = self.dialect
        if dialect.other_framing is None or dialect.stream_query in (query or "").split("&"):
            return dialect.framing
        return dialect.other_framing
