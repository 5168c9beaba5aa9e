"""Find one field of a multipart form (RFC 7578) in the beginning of its bytes.

A push object: bytes go in as they arrive, and it says when the field is there. Nothing is decoded or rewritten. Begin
reading at `FieldFinder`.
"""

from __future__ import annotations

import re

MEDIA_TYPE = "multipart/form-data"
_BOUNDARY = re.compile(r';\s*boundary=(?:"((?:[^"\\]|\\.)+)"|([^\s";,]+))', re.IGNORECASE)
_NAME = re.compile(rb';\s*name=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
_DISPOSITION = re.compile(rb"(?:^|\r\n)content-disposition\s*:([^\r\n]*)", re.IGNORECASE)
_MOST_HEADER_BYTES = 16 * 1024


class BrokenForm(ValueError):
    """The bytes are no multipart form with that boundary. The message completes "The form ..."."""


def is_form(content_type: str) -> bool:
    """Return whether a body of this type is a multipart form."""
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that the header `content_type` names. Raises BrokenForm without one."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise BrokenForm("has no boundary in its Content-Type")
    return (match[1] or match[2]).encode("utf-8", "surrogateescape")


class FieldFinder:
    """Finds the field `name`, which is no file, in a form that arrives piece by piece.

    `data` are all bytes so far, and `spans` are the places of the values that were found there, `start:end`. It stops
    looking at the first one, unless `all_of_them` is set. `ended` says that the last boundary has come.
    """

    def __init__(self, boundary: bytes, name: str, *, all_of_them: bool = False) -> None:
        self.data = bytearray()
        self.spans: list[tuple[int, int]] = []
        self.ended = False
        self._delimiter = b"--" + boundary
        self._name = name.encode()
        self._all = all_of_them
        self._at = 0  # before it everything is known
        self._value_at: int | None = None  # where the value of the part begins; None within its headers
        self._wanted = False
        self._begun = False

    @property
    def done(self) -> bool:
        """Return whether nothing more is to be found."""
        return self.ended or (bool(self.spans) and not self._all)

    def feed(self, data: bytes) -> bool:
        """Add the next bytes, and return `done`. Raises BrokenForm."""
        self.data += data
        while not self.done and self._advance():
            pass
        return self.done

    def _advance(self) -> bool:
        """Read on to the next boundary, or to the end of the headers behind it. Return False when more must come."""
        if not self._begun:
            return self._begin()
        return self._read_headers() if self._value_at is None else self._read_value(self._value_at)

    def _begin(self) -> bool:
        """Find the first boundary, which stands at the beginning."""
        first = self._delimiter
        head = bytes(self.data[: len(first)])
        if head != first[: len(head)]:
            raise BrokenForm("does not begin with the boundary that its Content-Type names")
        if len(head) < len(first):
            return False
        self._begun, self._at = True, len(first)
        return True

    def _read_headers(self) -> bool:
        """Read what stands behind a boundary: the headers of a part, or the mark of the end."""
        data, at = self.data, self._at
        if data.startswith(b"--", at):
            self.ended = True
            return False
        end = data.find(b"\r\n\r\n", at, at + _MOST_HEADER_BYTES)
        if end < 0:
            if len(data) - at >= _MOST_HEADER_BYTES:
                raise BrokenForm("has a part whose headers do not end")
            return False
        disposition = _DISPOSITION.search(bytes(data[at:end]))
        text = b"" if disposition is None else disposition[1]
        name = _NAME.search(text)
        self._wanted = name is not None and (name[1] or name[2]) == self._name and _FILE.search(text) is None
        self._value_at = self._at = end + 4
        return True

    def _read_value(self, start: int) -> bool:
        """Read the value of a part up to the next boundary."""
        delimiter = b"\r\n" + self._delimiter
        end = self.data.find(delimiter, max(self._at - 2, start - 2))
        if end < 0:
            self._at = max(len(self.data) - len(delimiter), start)
            return False
        if self._wanted:
            self.spans.append((start, max(end, start)))
        self._at, self._value_at = end + len(delimiter), None
        return True
