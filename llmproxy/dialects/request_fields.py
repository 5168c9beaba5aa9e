"""Fields of requests that dialects have in common: plain values, service tiers, the form of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmproxy.dialects.encode_context import EncodeContext
from llmproxy.dialects.extra import nested_extra
from llmproxy.dialects.members import Members, name_of, wrong
from llmproxy.dialects.model import Format, Request
from llmproxy.dialects.name_limits import MAX_USER, shortened

TIERS = {name: name for name in ("auto", "default", "flex", "scale", "priority", "fast")} | {
    "standard_only": "default",
    "standard": "default",
}
"""The service tiers of all dialects in the words of chat and responses."""


def decode_knobs(members: Members, texts: tuple[str, ...], objects: tuple[str, ...]) -> dict[str, Any]:
    """Return the knobs among the members of a request, by whether they are strings or objects, and `store`."""
    rest = members.rest
    knobs: dict[str, Any] = {name: members.text(name) for name in texts if name in rest}
    knobs |= {name: members.object(name) for name in objects if name in rest}
    knobs["store"] = members.flag("store")
    return {name: value for name, value in knobs.items() if value is not None}


def encode_knob(name: str, value: Any, context: EncodeContext) -> Any:
    """Return the value of a knob that is written under its own name."""
    return shortened(value, MAX_USER) if name == "user" and not context.own else value


def put_tier(
    body: dict[str, Any],
    tier: str,
    words: Mapping[str, str],
    path: str,
    context: EncodeContext,
    *,
    member: str = "service_tier",
) -> None:
    """Add the service tier, in the `words` of the dialect, as `member`, or list `path` as dropped."""
    word = tier if context.own else words.get(tier)
    if word is None:
        context.drop(path)
    else:
        body[member] = word


def decode_strings(value: list[Any], path: str) -> list[str]:
    """Return an array of strings at the JSON path `path`. Raises BadRequest for any other."""
    for index, each in enumerate(value):
        if not isinstance(each, str):
            wrong(f"{path}[{index}]", f"must be a string, not {name_of(each)}")
    return value


def decode_format(form: Members, schema_member: str | None) -> Format | None:
    """Return the form of the answer; None for plain text. A schema stands below `schema_member`, or beside the type."""
    kind = form.word("type", ("text", "json_object", "json_schema")) or form.missing("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Format(path=form.path, kind="json", extra=form.left())
    schema = form if schema_member is None else Members(form.any(schema_member), form.at(schema_member))
    return Format(
        path=form.path,
        kind="schema",
        name=schema.text("name"),
        description=schema.text("description"),
        schema=schema.object("schema"),
        strict=schema.flag("strict"),
        extra=schema.left() if schema is form else nested_extra(form, schema),
    )


def encode_format(form: Format, schema_member: str | None, context: EncodeContext) -> dict[str, Any]:
    """Return the form of the answer, the inverse of `decode_format`. A name, which both APIs demand, is made up."""
    body: dict[str, Any] = {"type": "json_object" if form.kind == "json" else "json_schema"}
    if form.kind == "schema":
        members = {"name": form.name, "description": form.description, "schema": form.schema, "strict": form.strict}
        if form.name is None and not context.own:
            members["name"] = "response"
        schema = {name: value for name, value in members.items() if value is not None}
        if schema_member is None:
            body |= schema
        else:
            body[schema_member] = schema
    context.put_extra(body, form)
    return body


def cut_limit(request: Request, longest: int, context: EncodeContext) -> int:
    """Return the limit of an answer, in tokens, for a model that refuses more than `longest`, and list it."""
    context.adapt(request.where("max_tokens"), f"{request.model} answers with {longest} tokens at most", str(longest))
    return longest
