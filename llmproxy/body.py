"""Request bodies: in memory and readable, or passing through; those that are multipart forms know their model.

Bodies are opened only as far as somebody needs: `Body.members` reads the top level, once. Begin reading at `Body`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from llmproxy.dialects.members import name_of, parse, wrong
from llmproxy.errors import BadRequest
from llmproxy.wire.compression import decompress, decompressed_pieces
from llmproxy.wire.json import RawMembers, check_members, read_members, read_value, remove_member, replace_member
from llmproxy.wire.repeated_json import JsonMemory, ReadObject

_SHORT = 64 * 1024  # longer bodies are read by their members, which is faster there


class ByteStream(Protocol):
    """Bytes that arrive over time: the rest of an answer, or a request body that is not in memory."""

    async def read(self) -> bytes:
        """Return the next bytes as they came; b"" after the last. Raises BrokenStream when they end too early.

        Cancelled, it has lost nothing, and may be called again.
        """

    def close(self) -> None:
        """Give the connection back, or cut it when bytes are still to come. May be called twice."""


class Body:
    """A request body that is held in memory.

    `raw` is what goes upstream: the client's bytes, until a top-level member is replaced or removed. `encoding` is the
    content-encoding of `raw` ("" for identity). Reading works on a decoded copy of at most `limit_bytes`, which
    `keep_decoded` gives where it was made already; changing a member of a compressed body sends the decoded bytes, so
    `encoding` becomes "". With a `memory` the body is read as far as no earlier one was the same; `turns` names the
    member with the list that grows.
    """

    __slots__ = (
        "_content",
        "_decoded",
        "_fault",
        "_limit_bytes",
        "_members",
        "_memory",
        "_model",
        "_read",
        "_strict",
        "_turns",
        "encoding",
        "raw",
    )

    def __init__(
        self,
        raw: bytes,
        encoding: str = "",
        limit_bytes: int = 64 * 1024 * 1024,
        memory: JsonMemory | None = None,
        turns: str | None = None,
    ) -> None:
        self.raw = raw
        self.encoding = encoding
        self._limit_bytes = limit_bytes
        self._decoded: bytes | None = None if encoding else raw
        self._fault: tuple[str, int, str] | None = None
        self._content: dict[str, Any] | None = None
        self._members: RawMembers | None = None
        self._model: str | None = None
        self._strict = False
        self._read: ReadObject | None = None
        self._memory = memory if turns else None
        self._turns = turns or ""

    @property
    def decoded(self) -> bytes:
        """Return the identity-coded bytes. Raises BadRequest: 400 when they cannot be decoded, 413 when too many."""
        if self._decoded is None:
            if self._fault is not None:
                message, status, code = self._fault
                raise BadRequest(message, status=status, code=code)
            self._decoded = decompress(self.raw, self.encoding, self._limit_bytes)
        return self._decoded

    def decoded_pieces(self) -> Iterator[bytes]:
        """Yield the identity-coded bytes piece by piece. Raises BadRequest as `decoded` does."""
        return decompressed_pieces(self.raw, self.encoding, self._limit_bytes)

    def keep_decoded(self, decoded: bytes | BadRequest) -> None:
        """Set what `decoded` returns or raises."""
        if isinstance(decoded, bytes):
            self._decoded = decoded
        else:
            self._fault = (decoded.message, decoded.status, decoded.code)

    @property
    def members(self) -> RawMembers:
        """Return the raw JSON of each top-level member; empty when the body is not a JSON object."""
        if self._members is None:
            read = None if self._memory is None else self._memory.read(self.decoded, self._turns)
            self._read = read
            self._members = read_members(self.decoded) if read is None else read.members
        return self._members

    @property
    def read(self) -> ReadObject | None:
        """Return the body as the one that goes on from an earlier one; None for short bodies and unusual ones."""
        return self._read if self.members else None

    @property
    def content(self) -> dict[str, Any]:
        """Return the whole decoded JSON object, to be read only; empty when the body is none. `members` is cheaper."""
        if self._content is None:
            try:
                value, self._strict = msgspec.json.decode(self.decoded), True
            except (ValueError, RecursionError):
                value, self._strict = read_value(self.decoded), False
            self._content = value if isinstance(value, dict) else {}
        return self._content

    def require_object(self) -> None:
        """Raise BadRequest when the body is not a JSON object; it says what the body is instead."""
        if not self.members:
            parse(self.decoded)

    def require_text(self, name: str) -> None:
        """Raise BadRequest when the body has a top-level member `name` that is not a string."""
        value = read_value(self.members[name]) if name in self.members else None
        if value is not None and not isinstance(value, str):
            wrong(name, f"must be a string, not {name_of(value)}")

    def require_single(self, name: str) -> None:
        """Raise BadRequest unless every reader finds the same member `name`: one that is there twice, or once more in
        other letters, which readers in Go take for the same.
        """
        raw = self.decoded
        if len(raw) <= _SHORT and raw.count(b"\\u00") == 0 and raw.lower().count(b'"%b"' % name.encode()) == 1:
            return  # the usual case: 1 µs instead of 20
        check_members(raw)
        if any(each != name and each.casefold() == name for each in self.members):
            message = f"The body has {name!r} twice; send it once"
            raise BadRequest(message, code="duplicate_member", param=name)

    @property
    def strict(self) -> bool:
        """Return whether the body is standard JSON: no NaN and no lone surrogates, which readers treat differently."""
        return bool(self.content) and self._strict

    @property
    def model(self) -> str | None:
        """Return the top-level member `model` when it is a string."""
        if self._model is None:
            self._model = self.text("model")
        return self._model

    def flag(self, name: str) -> bool:
        """Return whether the top-level member `name` is true."""
        raw = self.members.get(name)
        return raw is not None and bytes(raw) == b"true"

    def text(self, name: str) -> str | None:
        """Return the top-level member `name` when it is a string."""
        value = self.value(name)
        return value if isinstance(value, str) else None

    def value(self, name: str) -> object:
        """Return the decoded top-level member `name`; None when it is absent."""
        raw = self.members.get(name)
        return None if raw is None else read_value(raw)

    def replace(self, name: str, raw: bytes) -> None:
        """Put the JSON `raw` in place of the top-level member `name`, or add it; all other bytes stay as they are.

        Raises BadRequest when the body is no JSON object or holds a key twice.
        """
        self._change(replace_member(self.decoded, name, raw))

    def remove(self, name: str) -> None:
        """Remove the top-level member `name`, when it is there; all other members keep their bytes and order."""
        self._change(remove_member(self.decoded, name))

    def copy(self) -> Body:
        """Return a body of its own with the same bytes."""
        copy = Body(self.raw, self.encoding, self._limit_bytes)
        copy._decoded, copy._members, copy._read = self._decoded, self._members, self._read
        return copy

    def _change(self, raw: bytes) -> None:
        self.raw = self._decoded = raw
        self.encoding = ""
        self._content = self._members = self._model = self._read = self._memory = None


class FormBody(Body):
    """A multipart form that is held in memory. `span` is where its field `model` stands, `start:end`; None without
    one. It has no JSON members."""

    __slots__ = ("_span",)

    def __init__(self, raw: bytes, span: tuple[int, int] | None) -> None:
        super().__init__(raw)
        self._span = span
        self._members = {}
        self._content = {}

    @property
    def model(self) -> str | None:
        return _field(self.raw, self._span)

    def require_object(self) -> None:
        """Do nothing: a form is none."""

    def require_text(self, name: str) -> None:
        """Do nothing: a field of a form is text."""

    def require_single(self, name: str) -> None:
        """Do nothing: who reads a form looks for that already."""

    def rename_model(self, model: str) -> None:
        """Put another name in the field `model`, when it is there; all other bytes stay as they are."""
        if self._span is not None and self.model != model:
            self.raw, self._span = _with_field(self.raw, self._span, model)
            self._decoded = self.raw

    def copy(self) -> FormBody:
        return FormBody(self.raw, self._span)


@dataclass(slots=True, kw_only=True)
class StreamedBody:
    """A request body that passes through. `length` is None when the client sent it in chunks."""

    stream: ByteStream
    length: int | None


class FormStream:
    """A multipart form of which the beginning, with the field `model`, was read already; the rest comes from the
    client."""

    def __init__(self, head: bytes, span: tuple[int, int] | None, rest: ByteStream) -> None:
        self._head = head
        self._span = span
        self._rest = rest

    @property
    def model(self) -> str | None:
        """Return the field `model`; None where it is not in the beginning."""
        return _field(self._head, self._span)

    def rename_model(self, model: str) -> int:
        """Put another name in the field, and return by how many bytes the form is longer now."""
        if self._span is None or self.model == model:
            return 0
        before = len(self._head)
        self._head, self._span = _with_field(self._head, self._span, model)
        return len(self._head) - before

    async def read(self) -> bytes:
        if self._head:
            head, self._head, self._span = self._head, b"", None
            return head
        return await self._rest.read()

    def close(self) -> None:
        self._rest.close()


class StreamedForm(StreamedBody):
    """A multipart form that passes through. Where others watch its `stream`, the model is changed beneath them."""

    __slots__ = ("_form",)

    def __init__(self, *, form: FormStream, length: int | None) -> None:
        super().__init__(stream=form, length=length)
        self._form = form

    @property
    def model(self) -> str | None:
        """Return the field `model`; None where it is not in the beginning, or nothing of it is left."""
        return self._form.model

    def rename_model(self, model: str) -> None:
        """Put another name in the field `model`, when it is in the beginning; all other bytes stay as they are."""
        more_bytes = self._form.rename_model(model)
        if self.length is not None:
            self.length += more_bytes


def _field(data: bytes, span: tuple[int, int] | None) -> str | None:
    """Return the text of a field; None for an empty one, as SDKs send what is not set."""
    return None if span is None else data[span[0] : span[1]].decode("utf-8", "replace") or None


def _with_field(data: bytes, span: tuple[int, int], value: str) -> tuple[bytes, tuple[int, int]]:
    raw = value.encode("utf-8", "surrogateescape")
    return data[: span[0]] + raw + data[span[1] :], (span[0], span[0] + len(raw))


async def iterate(stream: ByteStream) -> AsyncIterator[bytes]:
    """Yield the reads of `stream`, one by one."""
    while data := await stream.read():
        yield data
