"""Refuse paths that could lead out of the base path of a provider: `/../`, in every spelling that some server decodes.

A path travels byte for byte, so what it means is up to the provider and to what stands before it. Begin reading at
`check_path`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from llmproxy.errors import BadRequest

_MOST_ROUNDS = 6
# Dots and slashes in overlong UTF-8, which decoders should refuse and some accept, and in the forms that become ASCII
# where Unicode is normalised (NFKC).
_OTHER_FORMS = (
    *((b"\xc0\xae", b"."), (b"\xe0\x80\xae", b"."), (b"\xc0\xaf", b"/"), (b"\xe0\x80\xaf", b"/"), (b"\xc1\x9c", b"/")),
    *(("\uff0e".encode(), b"."), ("\u2024".encode(), b"."), ("\u2025".encode(), b"..")),
    *(("\uff0f".encode(), b"/"), ("\uff3c".encode(), b"/")),
)
# The spelling of IIS for percent signs: `%u002e`.
_IIS = re.compile(rb"%u00(?=[0-9a-fA-F]{2})")
# Decoding takes half a millisecond a KB in the worst case.
_LONGEST_ENCODED = 8 * 1024
# Blanks do not count: some decoders drop tabs, spaces or NUL. Servlet containers cut parameters off a segment (`..;x`),
# and a query or fragment may begin only after decoding.
_CLIMB = re.compile(rb"(?:^|[/\\])[\0- \x7f]*\.[\0- \x7f]*\.[\0- \x7f]*(?:$|[/\\;?#])")


def check_path(path: str) -> None:
    """Raise BadRequest when a segment of `path` (without query, byte for byte) is `..`, or becomes it by decoding."""
    if ".." not in path and "%" not in path and path.isascii():
        return
    if len(path) > _LONGEST_ENCODED:
        raise BadRequest(f"The path has more than {_LONGEST_ENCODED} bytes", status=414, code="path_too_long")
    if _climbs(path.encode("utf-8", "surrogateescape")):
        raise BadRequest("The path has a segment `..`, plain or encoded. Remove it", code="invalid_path")


def _climbs(path: bytes) -> bool:
    """Return whether `path` has a segment `..` after some rounds of decoding. Too many rounds count as such."""
    for _ in range(_MOST_ROUNDS):
        if _CLIMB.search(path):
            return True
        decoded = unquote_to_bytes(_IIS.sub(b"%", path))
        for form, plain in _OTHER_FORMS:
            decoded = decoded.replace(form, plain)
        if decoded == path:
            return False
        path = decoded
    return True
