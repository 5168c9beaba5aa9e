"""The one list of dialects, and the calls that clients make in them, by method and path.

`/v1` in front of a path is optional. `GET /models` and its like are not here: the proxy answers them itself. A new
dialect is a folder and a line in `DIALECTS`; everything else in the program asks here. Begin reading at `find`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from llmproxy.dialects import chat, converse, embeddings, gemini, messages, responses
from llmproxy.dialects.call_tables import call_tables, endpoint_of
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.dialects.embedding_codec import EmbeddingCodec
from llmproxy.dialects.limit_readings import LimitReading
from llmproxy.dialects.rest_calls import ANY_METHOD, FAMILIES, FAMILIES_BELOW, REST, VERSIONED_FAMILIES

DIALECTS: tuple[Dialect, ...] = (
    chat.DIALECT,
    responses.DIALECT,
    messages.DIALECT,
    gemini.DIALECT,
    converse.DIALECT,
    chat.COMPLETIONS,
    embeddings.DIALECT,
    messages.INVOKE,
    chat.PROXY,
)
"""All dialects. The first writes errors where nobody knows what the client speaks; a provider that speaks several and
has no preference is called in the first that can be translated."""

_VERSION = "/v1"
_VERSIONED = re.compile(r"/v1(?:(?:alpha|beta)\d*)?(?=/)")

# Azure has OpenAI's API and Anthropic's below these.
_CLOUD_ROOTS = ("/openai", "/anthropic")
# Vertex has its API below a project and location, after the version, and lists of models below their makers.
_PROJECT = re.compile(r"(?:/v1(?:beta1)?)?/projects/[^/]+/locations/[^/]+(?=[/:])")
_PUBLISHERS = re.compile(r"/v1(?:beta1)?/publishers(?=/)|/ws/google\.cloud\.")

_CONVERSATIONS = "/conversations"


def find(method: str, path: str) -> Endpoint | None:
    """Return the call that `method` and `path` (with or without a version, byte for byte, no query) make; None when
    unknown."""
    called = _listed_call(method, path)
    if called is not None:
        return called
    calls = call_tables(DIALECTS)
    if below_project(path) and calls.project is not None:
        return calls.project
    version = version_of(path)
    if version in calls.versions:
        return calls.versions[version]
    segments = path[len(version) :].split("/")
    if segments[0]:
        return None
    name = segments[1] if len(segments) > 1 else ""
    endpoint = (calls.below if len(segments) > 2 else calls.alone).get(name)
    return endpoint if version or name not in VERSIONED_FAMILIES else None


def _listed_call(method: str, path: str) -> Endpoint | None:
    """Return the call that stands in the list of a dialect; None for paths of which only the beginning is known."""
    if "/projects/" in path and (project := _PROJECT.match(path)) is not None:
        path = path[project.end() :]
    path = path[len(version_of(path)) :]
    calls = call_tables(DIALECTS)
    method = "GET" if method == "HEAD" else method
    exact = calls.exact.get((method, path))
    if exact is not None:
        return exact
    for methods, pattern, endpoint in calls.patterns:
        if method in methods and pattern.fullmatch(path):
            return endpoint
    return None


def version_of(path: str) -> str:
    versioned = _VERSIONED.match(path)
    return versioned[0] if versioned is not None else ""


def is_call(method: str, path: str) -> bool:
    """Return whether a path below that of a model is a call of its own, such as that for an operation of the model."""
    return _listed_call(method, path) is not None


def is_model(path: str) -> bool:
    """Return whether clients read one model at this path."""
    below = path.startswith(tuple(f"{each}/" for each in model_paths()))
    return below and not any(is_call(method, path) for method in ("GET", "POST"))


def below_project(path: str) -> bool:
    """Return whether a path is of Vertex, whose other paths are below a project, or below the makers of models."""
    return _PROJECT.match(path) is not None or _PUBLISHERS.match(path) is not None


def below_root(path: str) -> str | None:
    """Return the part of `path` below a root that a cloud puts before an API, byte for byte; None without one."""
    root = next((root for root in _CLOUD_ROOTS if path.startswith(f"{root}/")), None)
    return None if root is None else path[len(root) :]


def decoded_call(dialect: Dialect, body: Mapping[str, Any], *, counted: bool) -> tuple[Codec, dict[str, Any]]:
    """Return the request in the decoded body of a call of `dialect`, with what decodes it. One whose tokens are to be
    `counted` stands inside the body, and may be of another dialect. Raises BadRequest where there is none."""
    count, codec = dialect.token_count, dialect.codec
    assert codec is not None, "only what has a codec is read"
    if not counted or count is None:
        return codec, dict(body)
    other = by_name(count.dialect_in(body))
    return (other.codec if other is not None and other.codec is not None else codec), dict(count.request_in(body))


def embedding_codec(name: str | None) -> EmbeddingCodec | None:
    """Return the form of embeddings called `name`; None when there is none."""
    return None if name is None else call_tables(DIALECTS).embeddings.get(name)


def embedding_call(codec: EmbeddingCodec) -> Endpoint:
    """Return the call with which a provider is asked for embeddings in the form `codec`."""
    dialect = call_tables(DIALECTS).names[codec.dialect]
    return endpoint_of(dialect, dialect.name, codec.call, streams=False, form=dialect.form)


def default() -> Dialect:
    """Return the dialect in which we speak to clients whose dialect nobody knows."""
    return DIALECTS[0]


def by_name(name: str | None) -> Dialect | None:
    """Return the dialect called `name`; None when there is none."""
    return None if name is None else call_tables(DIALECTS).names.get(name)


def codecs() -> Mapping[str, Codec]:
    """Return the codecs of the dialects that can be translated, by name, in the order of the list; other forms of a
    dialect, and those that clients alone speak, are none of their own."""
    own = [dialect for dialect in DIALECTS if not dialect.base and not dialect.client_only]
    return {dialect.name: dialect.codec for dialect in own if dialect.codec is not None}


def http_capabilities() -> tuple[str, ...]:
    """Return what a provider may speak over HTTP: the names of all dialects, and `rest_calls.REST`."""
    return (*(dialect.name for dialect in DIALECTS if not dialect.client_only), REST)


def capabilities() -> tuple[str, ...]:
    """Return what a provider may speak, over WebSockets too."""
    sockets = [each.sockets.capability for each in DIALECTS if each.sockets is not None]
    return tuple(dict.fromkeys((*http_capabilities(), *sockets)))


def limit_readings(headers: Mapping[str, str], now_s: float) -> list[LimitReading]:
    """Return what a provider says of its limits in the headers of an answer, in the words of whatever vendor: services
    have each other's names. `now_s` is the wall clock."""
    if "ratelimit-" not in "\n".join(headers).lower():  # one search for all names
        return []
    fields = {name.lower(): value for name, value in headers.items() if "ratelimit-" in name.lower()}
    readers = dict.fromkeys(dialect.read_limits for dialect in DIALECTS)
    return [reading for read in readers for reading in read(fields, now_s)]


def calls() -> Iterator[tuple[Sequence[str], str, Endpoint]]:
    """Yield what clients can call: methods, the path as the dialect's own clients write it, and the call. The forms of
    clouds are left out, which are the same calls at other paths."""
    known = call_tables(DIALECTS)
    listed: list[tuple[Sequence[str], Endpoint]] = [((method,), each) for (method, _), each in known.exact.items()]
    listed += [(methods, each) for methods, _, each in known.patterns]
    listed += [(ANY_METHOD, each) for each in (*known.alone.values(), *known.below.values())]
    for methods, endpoint in listed:
        if endpoint.form is endpoint.dialect.form:
            yield methods, endpoint.template, endpoint


def client_paths() -> list[str]:
    """Return the paths, with their version, of the calls that name a model."""
    return [dialect.version + path for dialect in DIALECTS for path in dialect.paths]


def translated_call(dialect: Dialect, *, stream: bool = False) -> Endpoint:
    """Return the call of `dialect` that translated requests make, for an answer that is streamed or not."""
    return call_tables(DIALECTS).translated[dialect.name, stream]


def translation_dialect(speaks: Container[str], preferred: Collection[str] = ()) -> Dialect | None:
    """Return the dialect into which requests are translated for a provider that speaks `speaks`: the first of
    `preferred`, or of all. None when it speaks none that can be translated."""
    dialects = call_tables(DIALECTS).names
    for name in preferred or dialects:
        dialect = dialects.get(name) if name in speaks else None
        if dialect is not None and dialect.codec is not None:
            return dialect
    return None


@lru_cache(maxsize=1024)
def seal_owner(provider: str, model: str) -> str:
    """Return a name for all that accept the thinking which `model` seals at `provider`."""
    names = (dialect.codec.sealed_name(model) for dialect in DIALECTS if dialect.codec is not None)
    return next(filter(None, names), f"{provider}/{model}")


def names_stored(endpoint: Endpoint) -> bool:
    """Return whether a call is about what earlier requests stored: responses and conversations."""
    dialect = endpoint.dialect
    stored = dialect.stateful and endpoint.capability == dialect.name
    return not endpoint.model and (stored or endpoint.path.startswith(_CONVERSATIONS))


def keeps_state(speaks: Container[str]) -> bool:
    """Return whether a provider that speaks `speaks` stores answers which later requests continue."""
    return any(dialect.stateful and dialect.name in speaks for dialect in DIALECTS)


def first_calls(speaks: Container[str]) -> list[Endpoint]:
    """Return one call for each capability in `speaks`, the one that stands first in its list."""
    return [endpoint for capability, endpoint in call_tables(DIALECTS).first.items() if capability in speaks]


def own_headers() -> tuple[str, ...]:
    """Return the beginnings, in lower case, of headers that only one dialect's providers understand."""
    return call_tables(DIALECTS).own_headers


def listing(headers: Container[str], path: str) -> Dialect:
    """Return the dialect in which a client with these headers expects the list of models at `path`: the one whose
    version that has, or whose marker it sends, else the first that lists models."""
    able = [dialect for dialect in DIALECTS if dialect.models is not None]
    for dialect in able:
        if path.startswith(tuple([f"{version}/" for version in dialect.versions])):
            return dialect
    return next((dialect for dialect in able if any([marker in headers for marker in dialect.markers])), able[0])


def marked(headers: Container[str]) -> Dialect | None:
    """Return the dialect whose clients send one of these headers; None where nothing tells."""
    return next((dialect for dialect in DIALECTS if any([marker in headers for marker in dialect.markers])), None)


def model_paths() -> list[str]:
    """Return the paths at which clients ask for the list of models."""
    versions = (version for dialect in DIALECTS for version in dialect.versions)
    return [f"{version}/models" for version in ("", _VERSION, *versions)]


def path_patterns() -> list[str]:
    """Return regular expressions for the ends of URLs that name the main call of a dialect: a path of one segment only
    below a version, since it may be an address of its own."""
    spoken = [dialect for dialect in DIALECTS if not dialect.client_only]
    paths = [path for dialect in spoken for path in dialect.paths[:1] if "{" not in path]
    return [re.escape(path) if path.count("/") > 1 else f"(?<={_VERSION}){re.escape(path)}" for path in paths]


def first_segments() -> frozenset[str]:
    """Return the first segments of all paths that clients may call."""
    paths = [path for dialect in DIALECTS for path in (*dialect.paths, *dialect.stream_paths)]
    paths += [path for dialect in DIALECTS for _, path in dialect.other_calls]
    return frozenset({*(path.split("/")[1] for path in paths), *FAMILIES, *FAMILIES_BELOW})
