"""Find the ids of what providers store: in requests that name it, and in answers that say that it was made.

Responses, conversations, files, batches, cached contents, vector stores and the like exist at one provider alone. Ids
are found by the fields that hold them, in raw bytes: bodies are not decoded for this. Begin reading at
`ids_in_request`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MOST_IDS = 16
_LONGEST = 200

# Fields of requests that hold one id, or a list of them; and bytes without which a body has none of them.
_NAMED = re.compile(
    rb'"(?:previous_response_id|conversation|cached_?[cC]ontent|container|training_file|validation_file|file_?(?:id|[uU]ri)'
    rb"|(?:input|output|error)_file_id|vector_store_ids?|file_ids)\"\s*:\s*(?:\{\s*\"id\"\s*:\s*|\[\s*)?\"([^\"\\]{1,200})\""
)
_MARKS = (
    *(
        b'previous_response_id"',
        b'"conversation"',
        b'"container"',
        b"vector_store_id",
        b'achedContent"',
        b'ached_content"',
    ),
    *(b"file_id", b'ileUri"', b'ile_uri"', b'"fileId"', b'ing_file"', b'ion_file"'),
)
# Looking for all of them in 200 KB takes a millisecond: in large bodies those of the top level are taken from there.
_SMALL_BYTES = 16 * 1024
_TOP = ("previous_response_id", "conversation", "container", "cachedContent", "cached_content")
_NESTED = (b'file_id"', b'ileUri"', b"vector_store_id")
# Fields of answers that hold what was made. Names of Google's are paths.
_MADE = re.compile(
    rb'"(?:id|(?:output|error|result|input)_file_id|output_file|file_id|vector_store_id)"\s*:\s*"([^"\\]{1,200})"'
    rb'|"name"\s*:\s*"([^"\\]{6,200})"'
)
_CONVERSATION = re.compile(rb'"conversation"\s*:\s*\{\s*"id"\s*:\s*"([^"\\]{1,200})"')


def ids_in_request(
    path: str, body: bytes | None, members: Mapping[str, bytes] | None = None, *, with_path: bool
) -> list[str]:
    """Return the ids that a request names, in its body and, where its path may name some, there. `members` are the raw
    values of the top level of the body, where they are known."""
    found: list[str] = []
    if with_path:
        found += [segment for segment in path.split("/")[2:] if segment and not segment.isalpha()]
    if body is not None and members is not None and len(body) > _SMALL_BYTES:
        named = [b'"%b":%b' % (name.encode(), members[name]) for name in _TOP if name in members]
        found += _texts(_NAMED.findall(b" ".join(named)))
        if any(mark in body for mark in _NESTED):
            found += _texts(_NAMED.findall(body))
    elif body is not None and any(mark in body for mark in _MARKS):
        found += _texts(_NAMED.findall(body))
    return _shortened(found)


def ids_in_answer(body: bytes, *, first: bool) -> list[str]:
    """Return the ids in the beginning of an answer. With `first` only what was made itself, and its conversation: an
    answer of a model has many that nobody asks for."""
    found = [made or named for made, named in _MADE.findall(body)]
    if first:
        found = [*found[:1], *_CONVERSATION.findall(body)[:1]]
    return _shortened(_texts(found))


def _texts(found: Iterable[bytes]) -> list[str]:
    return [each.decode("utf-8", "replace") for each in found]


def _shortened(found: Iterable[str]) -> list[str]:
    """Return the last segments of ids, each once: Google's stand behind the kind of thing."""
    last = (each.rstrip("/").rpartition("/")[2].partition(":")[0][:_LONGEST] for each in found)
    return list(dict.fromkeys(each for each in last if each))[:MOST_IDS]
