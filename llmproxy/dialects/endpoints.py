"""The list of calls that clients make, by method and path.

`/v1` in front of a path is optional. `GET /models` and its like are not here: the proxy answers them itself. A new call
is a row.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.dialects import chat, embeddings, messages, responses
from llmproxy.dialects.base import Dialect, Endpoint

_VERSION = "/v1"
_DIALECTS: tuple[Dialect, ...] = (
    chat.DIALECT,
    chat.COMPLETIONS,
    embeddings.DIALECT,
    responses.DIALECT,
    messages.DIALECT,
)

TRANSLATED_PATHS = {dialect.name: dialect.paths[0] for dialect in (chat.DIALECT, responses.DIALECT, messages.DIALECT)}
"""The dialects that are translated into each other, each with the call that is."""

TRANSLATED = frozenset(TRANSLATED_PATHS)

# Calls of the rest of that API whose JSON body names a model.
_OTHER_MODEL_PATHS = ("/images/generations", "/audio/speech", "/moderations")

# Calls that name what was made before, or nothing: relayed, not read.
_NAMED: tuple[tuple[Dialect, str, str, str], ...] = (
    (responses.DIALECT, "responses", "GET POST DELETE", "/responses/{id}"),
    (responses.DIALECT, "responses", "GET", "/responses/{id}/input_items"),
    (responses.DIALECT, "responses", "POST", "/responses/{id}/cancel"),
    (messages.DIALECT, "messages", "GET POST", "/messages/batches"),
    (messages.DIALECT, "messages", "GET DELETE", "/messages/batches/{id}"),
    (messages.DIALECT, "messages", "GET", "/messages/batches/{id}/results"),
    (messages.DIALECT, "messages", "POST", "/messages/batches/{id}/cancel"),
    (chat.DIALECT, "openai", "GET", "/chat/completions"),
    (chat.DIALECT, "openai", "GET POST DELETE", "/chat/completions/{id}"),
    (chat.DIALECT, "openai", "GET", "/chat/completions/{id}/messages"),
    (chat.DIALECT, "openai", "DELETE", "/models/{id}"),
)

# First segments of which every path and method is relayed. `/realtime` alone is a WebSocket, not a call.
_FAMILIES = (
    *("assistants", "audio", "batches", "chatkit", "containers", "conversations", "evals", "files"),
    *("fine_tuning", "images", "moderations", "skills", "threads", "uploads", "vector_stores", "videos"),
)
_FAMILIES_BELOW = ("realtime",)


def find(method: str, path: str) -> Endpoint | None:
    """The call that `method` and `path` (with or without `/v1`, byte for byte, no query) make; None when unknown."""
    if path.startswith(_VERSION + "/"):
        path = path[len(_VERSION) :]
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact
    segments = path.split("/")
    for methods, pattern, endpoint in _PATTERNS:
        if method in methods and _matches(segments, pattern):
            return endpoint
    if segments[0]:
        return None
    return (_BELOW if len(segments) > 2 else _ALONE).get(segments[1] if len(segments) > 1 else "")


def translatable(endpoint: Endpoint) -> bool:
    """Whether a provider of another dialect can answer this call, through translation."""
    return endpoint.capability in TRANSLATED and endpoint.path == endpoint.dialect.paths[0]


def _matches(segments: list[str], pattern: list[str]) -> bool:
    return len(segments) == len(pattern) and all(
        wanted == segment or (wanted == "{id}" and segment) for segment, wanted in zip(segments, pattern, strict=True)
    )


def _endpoint(dialect: Dialect, capability: str, path: str, *, model: bool) -> Endpoint:
    return Endpoint(dialect=dialect, capability=capability, path=path, template=_VERSION + path, model=model)


def _family(name: str, rest: str) -> Endpoint:
    return _endpoint(chat.DIALECT, "openai", f"/{name}{rest}", model=False)


def _model_calls() -> Iterator[Endpoint]:
    for dialect in _DIALECTS:
        for path in dialect.paths:
            yield _endpoint(dialect, dialect.name, path, model=True)
    for path in _OTHER_MODEL_PATHS:
        yield _endpoint(chat.DIALECT, "openai", path, model=True)


_EXACT = {("POST", endpoint.path): endpoint for endpoint in _model_calls()}
_PATTERNS = [
    (methods.split(), path.split("/"), _endpoint(dialect, capability, path, model=False))
    for dialect, capability, methods, path in _NAMED
]
_ALONE = {name: _family(name, "") for name in _FAMILIES}
_BELOW = {name: _family(name, "/{path}") for name in (*_FAMILIES, *_FAMILIES_BELOW)}
