"""Tables in which the calls of dialects are looked up, by method and path. Begin reading at `call_tables`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from llmproxy.dialects.call_form import CallForm
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.dialects.embedding_codec import EmbeddingCodec
from llmproxy.dialects.rest_calls import (
    FAMILIES,
    FAMILIES_BELOW,
    FORM_PATHS,
    MODEL_PATHS,
    OTHER_CALLS,
    REST,
    REST_FORMS,
    VERSIONED_FAMILIES,
)


class CallTables(NamedTuple):
    """Some dialects and their calls, in the tables in which they are looked up."""

    names: dict[str, Dialect]
    exact: dict[tuple[str, str], Endpoint]
    patterns: list[tuple[list[str], re.Pattern[str], Endpoint]]
    alone: dict[str, Endpoint]
    below: dict[str, Endpoint]
    translated: dict[tuple[str, bool], Endpoint]
    first: dict[str, Endpoint]
    embeddings: dict[str, EmbeddingCodec]
    own_headers: tuple[str, ...]
    versions: dict[str, Endpoint]
    project: Endpoint | None


@lru_cache(maxsize=4)
def call_tables(dialects: tuple[Dialect, ...]) -> CallTables:
    """Return the tables of `dialects`. The first one has the errors of the rest of OpenAI's API."""
    rest = dialects[0]
    model_calls = [(endpoint, path) for dialect in dialects for endpoint, path in _model_calls(dialect)]
    model_calls += [(endpoint_of(rest, REST, path), path) for path in MODEL_PATHS]
    model_calls += [(endpoint_of(rest, REST, path, takes_forms=True), path) for path in FORM_PATHS]
    model_calls += [
        (
            endpoint_of(rest, REST, form.call, own_path=form.path, form=form, takes_forms=form.call in FORM_PATHS),
            form.path,
        )
        for form in REST_FORMS
    ]
    other = [(dialect, dialect.name, *call) for dialect in dialects for call in dialect.other_calls]
    other += [(rest, REST, *call) for call in OTHER_CALLS]
    named = (*FAMILIES, *VERSIONED_FAMILIES)
    families = {name: endpoint_of(rest, REST, f"/{name}", model=False) for name in named}
    below = (*named, *FAMILIES_BELOW)
    return CallTables(
        names={dialect.name: dialect for dialect in dialects},
        exact={("POST", path): endpoint for endpoint, path in model_calls if "{" not in path},
        patterns=[
            *((["POST"], path_pattern(path), endpoint) for endpoint, path in model_calls if "{" in path),
            *(
                (methods.split(), path_pattern(path), endpoint_of(dialect, capability, path, model=False))
                for dialect, capability, methods, path in other
            ),
        ],
        alone=families,
        below={name: endpoint_of(rest, REST, f"/{name}/{{path}}", model=False) for name in below},
        translated={
            (endpoint.dialect.name, stream): endpoint
            for endpoint, _ in model_calls
            if endpoint.translatable and endpoint.form is endpoint.dialect.form
            for stream in (False, True)
            if endpoint.streams in (None, stream)
        },
        first={endpoint.capability: endpoint for endpoint, _ in reversed(model_calls)},
        embeddings={codec.name: codec for dialect in dialects for codec in dialect.embedding_codecs},
        own_headers=tuple({prefix for dialect in dialects for prefix in dialect.own_headers}),
        versions={
            version: dialect.relayed("/{path}", f"{version}/{{path}}")
            for dialect in dialects
            for version in dialect.versions
        },
        project=next(
            (each.relayed("/{path}", "/projects/{path}") for each in dialects if each.below_projects),
            None,
        ),
    )


def _model_calls(dialect: Dialect) -> Iterator[tuple[Endpoint, str]]:
    """Yield the calls of a dialect that name a model, each with its path."""
    for path in dialect.paths:
        streams = False if dialect.stream_paths else None
        yield endpoint_of(dialect, dialect.name, path, streams=streams, form=dialect.form), path
    for path, stream_path in zip(dialect.paths, dialect.stream_paths, strict=False):
        yield (
            endpoint_of(dialect, dialect.name, path, own_path=stream_path, streams=True, form=dialect.form),
            stream_path,
        )
    for form in dialect.forms:
        if form.frames is None:
            streams = False if form.stream_path else None
            yield (
                endpoint_of(dialect, dialect.name, form.call, own_path=form.path, streams=streams, form=form),
                form.path,
            )
        if form.frames is None and form.stream_path:
            own = form.stream_path
            yield endpoint_of(dialect, dialect.name, form.call, own_path=own, streams=True, form=form), own


def endpoint_of(
    dialect: Dialect,
    capability: str,
    path: str,
    *,
    model: bool = True,
    own_path: str | None = None,
    streams: bool | None = None,
    form: CallForm | None = None,
    takes_forms: bool = False,
) -> Endpoint:
    """Return a call of a dialect. `own_path` is where it stands, where that is not `path`."""
    own = own_path or path
    return Endpoint(
        dialect=dialect,
        capability=capability,
        path=path,
        own_path=own,
        template=dialect.version + own,
        model=model,
        streams=streams,
        model_in=path_pattern(own) if "{model}" in own else None,
        form=form,
        takes_forms=takes_forms,
    )


def path_pattern(path: str) -> re.Pattern[str]:
    """Match the paths that `path` stands for, whatever its parameters are."""
    parts = re.split(r"(\{\w+\})", path)
    parameters = {"{id}": "[^/]+", "{path}": ".+", "{maker}": "(?P<maker>[^/]+)", "{model}": "(?P<model>.+)"}
    return re.compile("".join(parameters.get(part) or re.escape(part) for part in parts), re.DOTALL)
