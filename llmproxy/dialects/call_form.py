"""Other forms of a dialect's calls: the same requests and answers at a cloud's path, which names the model.

A client may use a form with any provider, and a provider may want one from any client. Begin reading at `CallForm`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote, unquote_plus


class StreamConverter(Protocol):
    """Puts the events of one stream into other frames."""

    def feed(self, data: bytes) -> bytes:
        """Return what the next bytes, cut anywhere, become. Raises BrokenStream at an error of the provider: when
        something stands in front of it, at the next call, which may be one without bytes."""

    def close(self) -> bytes:
        """Return the rest, when the stream has ended. Raises BrokenStream for one that was cut short."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OtherFrames:
    """The frames of a form whose streams have others than its dialect: `dialect` is the one that speaks them, `wrap`
    converts a stream into them, `unwrap` out of them."""

    dialect: str
    wrap: Callable[[], StreamConverter]
    unwrap: Callable[[], StreamConverter]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CallForm:
    """One form of `call`, which is a path of its dialect. `name` is what its cloud is called.

    `path` is unversioned and holds `{model}`, or the body does; streams have another one in `stream_path`, where that
    is not empty. Where it holds `{maker}` too, models of other makers than `maker` have names like `meta/llama`.
    `query` are the fields of the query that only this form has. `without` are the members of the body that stand in the
    path instead. `members` are added as raw JSON where the body has no such member, and `header_members` names headers
    whose values the form has as a list in a member of the body. `version` are a header with a date, the member that the
    form has for it, and the date that is the cloud's own value. `frames` is None where streams are the dialect's own.
    """

    name: str
    call: str
    path: str
    stream_path: str = ""
    query: frozenset[str] = frozenset()
    maker: str = ""
    without: tuple[str, ...] = ()
    members: tuple[tuple[str, bytes], ...] = ()
    header_members: tuple[tuple[str, str], ...] = ()
    version: tuple[str, str, str] | None = None
    frames: OtherFrames | None = None

    def own_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the decoded `body` of a request in this form as the dialect has it, but for its path."""
        added = {name for name, _ in self.members} | {name for _, name in self.header_members}
        left = {name: "unknown" for name in self.without if name == "model"}
        return left | {name: each for name, each in body.items() if name not in added}

    def path_for(self, model: str, *, stream: bool = False) -> str:
        """Return the unversioned path that calls `model`."""
        return filled(self.stream_path if stream and self.stream_path else self.path, model, self.maker)


@lru_cache(maxsize=1024)
def filled(path: str, model: str, maker: str = "") -> str:
    """Return `path` with `model` in its place, escaped; `maker` is that of names without one."""
    if "{maker}" in path:
        named, slash, rest = model.partition("/")
        maker, model = (named, rest) if slash else (maker, model)
        path = path.replace("{maker}", quote(maker, safe=""))
    return path.replace("{model}", quote(model, safe="@"))


def without_fields(query: str | None, names: Container[str]) -> str | None:
    """Return a query without the fields of these names, byte for byte; None where nothing is left."""
    if query is None:
        return None
    fields = query.split("&")
    kept = [field for field in fields if unquote_plus(field.partition("=")[0]) not in names]
    return query if len(kept) == len(fields) else "&".join(kept) or None


def deployment_form(call: str) -> CallForm:
    """Return the form of a call below a deployment, as the class AzureOpenAI of OpenAI's SDK sends it."""
    path = "/openai/deployments/{model}" + call
    return CallForm(name="azure", call=call, path=path, query=frozenset({"api-version"}))


def vertex_form(
    call: str,
    path: str,
    stream_path: str = "",
    *,
    maker: str = "",
    without: tuple[str, ...] = (),
    members: tuple[tuple[str, bytes], ...] = (),
    version: tuple[str, str, str] | None = None,
) -> CallForm:
    """Return the form of a call at Vertex; its paths stand below the project and location."""
    return CallForm(
        name="vertex",
        call=call,
        path=path,
        stream_path=stream_path,
        maker=maker,
        without=without,
        members=members,
        version=version,
    )
