"""Find one field of a multipart form (RFC 7578) in the beginning of its bytes.

A push object: bytes go in as they arrive, and it says when the field is there. Nothing is decoded or rewritten. Begin
reading at `FieldFinder`.
"""

from __future__ import annotations

import re

MEDIA_TYPE = "multipart/form-data"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf';\s*({_TOKEN})=(?:"([^"\\]+)"|([^\s";,]+))\s*')
_NAME = re.compile(rb';\s*name=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
_DISPOSITION = re.compile(rb"(?:^|\r\n)content-disposition\s*:([^\r\n]*)", re.IGNORECASE)
_LINE_END = re.compile(rb"[ \t]*(?:\r\n|\r?\Z)")
# What every reader understands in the same way.
_PLAIN_HEADER = re.compile(rf"({_TOKEN}):([^\r\n\x00]*)".encode())
_PLAIN_DISPOSITION = re.compile(
    rb'[ \t]*form-data[ \t]*;[ \t]*name=(?:"([^"\\]*)"|([^\s;"\\]+))[ \t]*'
    rb'(;[ \t]*filename=(?:"(?:[^"\\]|\\.)*"|[^\s;"\\]+)[ \t]*)?(;[ \t]*filename\*=[^\s;"\\]+[ \t]*)?',
    re.IGNORECASE,
)
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")
_MOST_HEADER_BYTES = 16 * 1024


class BrokenForm(ValueError):
    """The bytes are no multipart form with that boundary. The message completes "The form ..."."""


def is_form(content_type: str) -> bool:
    """Return whether a body of this type is a multipart form."""
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that the header `content_type` names. Raises BrokenForm where that is not clear."""
    at, boundary = len(content_type.partition(";")[0]), ""
    while at < len(content_type):
        parameter = _PARAMETER.match(content_type, at)
        name = "" if parameter is None else parameter[1].lower()
        if parameter is None or "*" in name or (boundary and name == "boundary"):
            raise BrokenForm("has a Content-Type that can be understood in more than one way")
        if name == "boundary":
            boundary = parameter[2] or parameter[3]
        at = parameter.end()
    if not boundary:
        raise BrokenForm("has no boundary in its Content-Type")
    return boundary.encode("utf-8", "surrogateescape")


class FieldFinder:
    """Finds the field `name`, which is no file, in a form that arrives piece by piece.

    `data` are all bytes so far, and `spans` are the places of the values that were found there, `start:end`. It stops
    looking at the first one, unless `all_of_them` is set: then the form is also refused where another reader may find
    the field elsewhere. `ended` says that the last boundary has come.
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
        self._boundaries = 0

    @property
    def done(self) -> bool:
        """Return whether nothing more is to be found."""
        return self.ended or (bool(self.spans) and not self._all)

    def feed(self, data: bytes) -> bool:
        """Add the next bytes, and return `done`. Raises BrokenForm."""
        self.data += data
        while not self.done and self._advance():
            pass
        if self.ended and self._all and self.data.count(self._delimiter) > self._boundaries:
            raise BrokenForm("has its boundary in other places too, where some readers begin a part")
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
        self._begun, self._at, self._boundaries = True, len(first), 1
        return True

    def _read_headers(self) -> bool:
        """Read what stands behind a boundary: the headers of a part, or the mark of the end."""
        data, at = self.data, self._at
        if data.startswith(b"--", at):
            self.ended = True
            return False
        begun_end = len(data) == at + 1 and data.startswith(b"-", at)
        if not begun_end and _LINE_END.match(data, at) is None:
            raise BrokenForm("has a boundary with more behind it in its line")
        end = data.find(b"\r\n\r\n", at, at + _MOST_HEADER_BYTES)
        if end < 0:
            if len(data) - at >= _MOST_HEADER_BYTES:
                raise BrokenForm("has a part whose headers do not end")
            return False
        read = _is_named_plainly if self._all else _is_named
        self._wanted = read(bytes(data[at:end]), self._name)
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
        self._boundaries += 1
        return True


def _is_named(headers: bytes, name: bytes) -> bool:
    """Return whether the part with these headers is the field `name`."""
    disposition = _DISPOSITION.search(headers)
    text = b"" if disposition is None else disposition[1]
    match = _NAME.search(text)
    return match is not None and (match[1] or match[2]) == name and _FILE.search(text) is None


def _is_named_plainly(headers: bytes, name: bytes) -> bool:
    """Return the same, of a part of which every reader finds that. Raises BrokenForm for others."""
    lines = [_PLAIN_HEADER.fullmatch(line) for line in headers.lstrip(b" \t").removeprefix(b"\r\n").split(b"\r\n")]
    plain = [(line[1].lower(), line[2]) for line in lines if line is not None]
    fields = dict(plain)
    match = _PLAIN_DISPOSITION.fullmatch(fields.get(b"content-disposition", b""))
    if match is None or len(fields) < len(lines):
        raise BrokenForm("has a part whose headers can be understood in more than one way")
    named = (match[1] or match[2]) == name
    encoding = fields.get(b"content-transfer-encoding", b"binary").strip().lower()
    if named and (match[3] or match[4] or encoding not in _PLAIN_ENCODINGS):
        raise BrokenForm(f"has the field {name.decode()!r} as a file, or encoded; send it as it is")
    return named
