from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.redaction.json_escapes import has_escapes, unescape


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (rb"abc", b"abc"),
        (rb"a\u003db", b"a=b"),
        (rb"a\u002Bb\u002bc", b"a+b+c"),
        (rb"a\\u003db, a\\\\u003db", b"a=b, a=b"),
        (rb"https:\/\/x\u0026y", b"https://x&y"),
        (rb"\u0073\u006b-", b"sk-"),
    ],
)
def test_what_need_not_be_escaped_is_decoded(data: bytes, plain: bytes) -> None:
    assert unescape(data).data == plain
    assert has_escapes(data) is (b"\\u00" in data)


@pytest.mark.parametrize("data", [rb"\u0022", rb"\u005c\u005C", rb"\u000a", rb"\u00e9", rb"\n\"", rb"\u4e00 u0041"])
def test_all_else_stays(data: bytes) -> None:
    assert unescape(data).data == data


@pytest.mark.parametrize("cut", [b"\\", b"\\u", b"\\u0", b"\\u00", b"\\u007"])
def test_what_is_cut_off_at_the_end_is_left_out(cut: bytes) -> None:
    assert unescape(b"sk-0" + cut).data == b"sk-0"


@given(
    st.lists(st.tuples(st.sampled_from("abc=/&+"), st.booleans()), max_size=20), st.integers(0, 20), st.integers(0, 20)
)
def test_offsets_lead_back(characters: list[tuple[str, bool]], one: int, other: int) -> None:
    written = [f"\\u{ord(each):04x}" if is_escaped else each for each, is_escaped in characters]
    plain = unescape("".join(written).encode())
    start, end = sorted(min(each, len(characters)) for each in (one, other))
    assert plain.data == "".join(each for each, _ in characters).encode()
    part = "".join(written).encode()[plain.origin(start) : plain.origin(end)]
    assert part == "".join(written[start:end]).encode()
    assert json.loads(b'"%b"' % part).encode() == plain.data[start:end]
